"""The images that a lab boots: found by role and distribution, all that are missing told at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mailimg import manifest
from mailimg.errors import InputError, Problems
from mailimg.lab.plan import Image
from mailimg.store import Store

FORMS = ("qcow2", "raw")


def find(folder: Path, roles: Sequence[str], distro: str, store: Path) -> dict[str, Image]:
    """Manifest, file and tree of each role's image.

    Raises:
        InputError: images are missing or not what their manifest says; with the command that builds them.
    """
    there = {role: next((path for form in FORMS if (path := folder / f"{role}-{distro}.{form}").is_file()), None)
             for role in roles}
    missing = [role for role, path in there.items() if path is None]
    if missing:
        wanted = " ".join(f"--role {role}" for role in missing)
        raise InputError([f"{folder / f'{role}-{distro}.{FORMS[0]}'}: there is no such image" for role in missing],
                         f"Build them: mailimg build {wanted} --distro {distro} --output {folder}")
    problems = Problems()
    found = {role: problems.of(partial(one, path, store)) for role, path in there.items() if path is not None}
    problems.stop()
    return {role: image for role, image in found.items() if image is not None}


def one(path: Path, store: Path) -> Image:
    """An image by its file.

    Raises:
        InputError: it has no manifest.
    """
    document = manifest.read(path)
    layer = Store(store).get(document["layers"][-1]["identity"])
    return Image(document, str(path.absolute()), "" if layer is None else str(layer.tree))
