"""Runs a program and watches how much memory its processes and how much disk its folders take."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError

MEMORY_SECONDS = 0.25
DISK_SECONDS = 4.0  # one walk over a store takes up to a second of one core
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Watched:
    """One run; bytes are the highest seen."""

    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


def run(argv: Sequence[str], *, what: str, log: Path, folders: Sequence[Path], env: Mapping[str, str]) -> Watched:
    """Run a program to its end.

    Args:
        log: gets its whole output.
        folders: whose size is watched.

    Raises:
        StepError: it failed; with the last lines of its output.
    """
    found, ended = Watched(), threading.Event()
    with log.open("wb") as stream:
        begun = time.monotonic()
        child = process.start(argv, what=what, env=env, stdout=stream, stderr=process.STDOUT)
        watchers = [
            threading.Thread(target=watch_memory, args=(child.pid, found, ended)),
            threading.Thread(target=watch_disk, args=(folders, found, ended)),
        ]
        for watcher in watchers:
            watcher.start()
        try:
            status = child.wait()
            found.seconds = time.monotonic() - begun
        finally:
            process.kill_group(child)
            ended.set()
            for watcher in watchers:
                watcher.join()
    found.disk_bytes = max(found.disk_bytes, disk_bytes(folders))
    if status != 0:
        tail = log.read_text(errors="replace").splitlines()[-20:]
        raise StepError(f"{what}: ended with {process.exit_words(status)}", f"The whole output is in {log}", tail=tail)
    return found


def watch_memory(pid: int, found: Watched, ended: threading.Event) -> None:
    while not ended.wait(MEMORY_SECONDS):
        found.memory_bytes = max(found.memory_bytes, memory_bytes(pid))


def watch_disk(folders: Sequence[Path], found: Watched, ended: threading.Event) -> None:
    while not ended.wait(DISK_SECONDS):
        found.disk_bytes = max(found.disk_bytes, disk_bytes(folders))


def memory_bytes(root: int) -> int:
    """Resident memory of a process and all its descendants; what they share counts for each."""
    parents: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # Behind the name, which may hold anything: state, parent, ...; the 22nd is the resident size in pages.
            words = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(entry.name)] = int(words[1])
        sizes[int(entry.name)] = int(words[21]) * PAGE
    family = {root}
    # A parent may have a higher number than its child: repeat until nobody is added.
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(sizes.get(pid, 0) for pid in family)


def disk_bytes(folders: Sequence[Path]) -> int:
    """Space that folders take on disk; files with several names count once. What vanishes meanwhile is left out."""
    there = [str(folder) for folder in folders if folder.exists()]
    answer = process.run(["nice", "du", "-scx", "--block-size=1", *there], what="measure folders", check=False)
    return int(answer.stdout.splitlines()[-1].split()[0]) if there else 0
