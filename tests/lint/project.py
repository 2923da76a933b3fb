"""The project's own files, for tests about them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Made by tools, not by us.
MADE = {".git", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "out", "dist", "build"}


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project, sorted."""
    found = []
    for folder, names, leaves in os.walk(ROOT):
        names[:] = [name for name in names if name not in MADE and not name.endswith(".egg-info")]
        found += [Path(folder) / leaf for leaf in leaves]
    return tuple(sorted(path for path in found if path.is_file() and not path.is_symlink()))


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the project with its content."""
    for path in files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def shown(path: Path) -> str:
    """A path as messages name it."""
    return path.relative_to(ROOT).as_posix()


def below(folder: str, pattern: str = "*") -> list[Path]:
    """The project's files in one folder and all below it."""
    return [path for path in files() if path.is_relative_to(ROOT / folder) and path.match(pattern)]


def is_shell(path: Path) -> bool:
    """Whether a file is a shell script, by its name or its first line."""
    if path.suffix in (".sh", ".bash"):
        return True
    with path.open("rb") as stream:
        first = stream.readline(80)
    return first.startswith(b"#!") and b"sh" in first.split(b"/")[-1]


def hooks() -> list[Path]:
    """The programs that diskimage-builder runs: `elements/<element>/<phase>.d/<hook>`; environment files are read."""
    return [path for path in below("elements") if path.parent.suffix == ".d" and path.parent.name != "environment.d"]
