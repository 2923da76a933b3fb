"""Run `mailimg` with the elements, roles and images of another folder, and with one thing about the host changed.

    python mailimg_at.py FOLDER [--uid N] [--path DIR] [--any-space] -- ARGUMENTS OF mailimg
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mailimg import build, process, resources


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--uid", type=int, help="become this user first")
    parser.add_argument("--path", help="where programs are looked for")
    parser.add_argument("--any-space", action="store_true", help="begin however little space there is")
    parser.add_argument("arguments", nargs="+")
    chosen = parser.parse_args()

    folder = chosen.folder
    found = resources.Resources(*(folder / name for name in ("elements", "roles", "images", "firstboot")))
    resources.installed = lambda *own: found
    # Only now: the commands take `installed` into their own names when they are imported.
    from mailimg import cli

    if chosen.path is not None:
        process.BASE_ENV = {**process.BASE_ENV, "PATH": chosen.path}
    if chosen.any_space:
        build.NEED_STORE_BYTES = build.NEED_OUTPUT_BYTES = 0
    if chosen.uid is not None:
        os.setgroups([])
        os.setgid(chosen.uid)
        os.setuid(chosen.uid)
    sys.argv = ["mailimg", *chosen.arguments]
    cli.main()


if __name__ == "__main__":
    main()
