"""`make verify-centos7`: build and boot every role on CentOS 7, from the real base image and the real archives.

Needs the archives (or mirrors of them, named in CENTOS7), SOGo's repository for the role sogo, root and QEMU. What it
finds stands in a report, Markdown and JSON; it ends with 0 only if every role was built and proved.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mailimg.resources import installed
from mailimg.roles import load_distro, role_names

DISTRO = "centos-7"
MAILIMG = str(Path(sys.executable).parent / "mailimg")
TAIL_LINES = 15


@dataclass
class RoleResult:
    """What was seen of one role; `state`: `proved`, `not built` or `not proved`; seconds of both steps."""

    role: str
    state: str = "not built"
    image: str = ""
    mebibytes: int = 0
    packages: int = 0
    build_seconds: float = 0.0
    verify_seconds: float = 0.0
    said: list[str] = field(default_factory=list)


def run(argv: Sequence[str]) -> tuple[int, str, list[str], float]:
    """Exit status, standard output, last lines of standard error and seconds of a command; shows what it does."""
    sys.stderr.write(f"==> {shlex.join(argv)}\n")
    begun = time.monotonic()
    said: deque[str] = deque(maxlen=TAIL_LINES)
    with tempfile.TemporaryFile("w+") as out:
        with subprocess.Popen(argv, stdout=out, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                sys.stderr.write(line)
                said.append(line.rstrip())
        out.seek(0)
        return process.returncode, out.read(), list(said), time.monotonic() - begun


def role_result(role: str, output: Path, options: Sequence[str]) -> RoleResult:
    """Build and verify one role; layers are shared through the store."""
    result = RoleResult(role)
    build = [MAILIMG, "build", "--role", role, "--distro", DISTRO, "--output", str(output), "--json", *options]
    code, out, said, result.build_seconds = run(build)
    if code != 0:
        result.said = said
        return result
    image = Path(json.loads(out)[0]["image"])
    manifest = json.loads(image.with_name(f"{image.name}.manifest.json").read_text(encoding="utf-8"))
    result.image, result.mebibytes = image.name, image.stat().st_size // 1024**2
    result.packages = len(manifest["packages"])
    result.state = "not proved"
    code, _, said, result.verify_seconds = run([MAILIMG, "verify", str(image), "--json"])
    if code == 0:
        result.state = "proved"
    else:
        result.said = said
    return result


def report(results: Sequence[RoleResult], options: Sequence[str]) -> str:
    """The report as Markdown."""
    base = load_distro(installed(), DISTRO).base_image
    assert base is not None
    lines = [
        "# CentOS 7: built and booted for real",
        "",
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {len(os.sched_getaffinity(0))} cores,"
        f" {platform.platform()}; options: `{shlex.join(options) or 'none'}`; base image sha256 `{base['sha256']}`",
        "",
        "| role | state | image, MiB | packages | build, s | boot and proof, s |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for one in results:
        lines.append(f"| {one.role} | {one.state} | {one.mebibytes} | {one.packages} | {one.build_seconds:.0f}"
                     f" | {one.verify_seconds:.0f} |")
    for one in results:
        if one.said:
            lines += ["", f"## {one.role}: {one.state}", "", *(f"    {line}" for line in one.said)]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for images and report")
    parser.add_argument("--role", action="append", help="only this role; may be given several times")
    chosen, options = parser.parse_known_args()
    if os.geteuid() != 0:
        parser.error("needs root")
    results = []
    for role in chosen.role or role_names(installed()):
        results.append(role_result(role, chosen.output, options))
        chosen.output.mkdir(parents=True, exist_ok=True)
        text = report(results, options)
        (chosen.output / "centos7-report.md").write_text(text, encoding="utf-8")
        (chosen.output / "centos7-report.json").write_text(
            json.dumps([asdict(one) for one in results], indent=2) + "\n", encoding="utf-8"
        )
    sys.stdout.write(text)
    return 0 if all(one.state == "proved" for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
