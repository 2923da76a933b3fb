"""Folders for work in progress that tell by themselves whether the build they belong to still lives.

The owner holds a lock in its folder; the kernel drops it however the owner ends. So what a killed build left is found
and removed by the next one, and what a living one needs is never touched.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mailimg.errors import StepError

LOCK = ".lock"


@contextmanager
def scratch(parent: Path, prefix: str = "") -> Iterator[Path]:
    """A folder for one piece of work, removed afterwards; what killed builds left beside it is removed first.

    Args:
        prefix: begins the folder's name; only folders of that prefix are taken for left-overs.
    """
    with guarded(parent):
        remove_dead(parent, prefix)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        lock = (folder / LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield folder
        finally:
            with guarded(parent):
                remove_tree(folder)


def sweep(parent: Path, prefix: str = "") -> None:
    """Remove what killed builds left."""
    with guarded(parent):
        remove_dead(parent, prefix)


@contextmanager
def guarded(parent: Path) -> Iterator[None]:
    """Held while a folder of a living build may be without its lock: when it is born and when it is removed."""
    with (parent / LOCK).open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def remove_dead(parent: Path, prefix: str) -> None:
    """Remove every folder whose lock nobody holds; the caller holds the parent's lock."""
    for folder in parent.iterdir():
        if folder.name.startswith(prefix) and folder.is_dir() and not folder.is_symlink() and not lives(folder):
            remove_tree(folder)


def lives(folder: Path) -> bool:
    """Whether the owner of a folder still holds its lock."""
    try:
        lock: IO[str] = (folder / LOCK).open("r+")
    except FileNotFoundError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def remove_tree(folder: Path) -> None:
    """Remove a folder that may hold a root tree; never crosses into a mounted file system.

    Raises:
        StepError: something is mounted below it; nothing was removed.
    """
    try:
        device = folder.stat().st_dev
    except FileNotFoundError:
        return
    for path, names, _ in os.walk(folder):
        for name in names:
            place = Path(path) / name
            if place.lstat().st_dev != device:
                raise StepError(f"remove {folder}: {place} is still mounted", f"Unmount it: umount {place}")
    shutil.rmtree(folder)
