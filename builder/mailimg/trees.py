"""What makes a finished tree the same wherever it is built, and shows whether it still is what was built."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PIECE = 1 << 20  # bytes read at once
BLOCK = 512  # unit of st_blocks, whatever the file system's own block is


@dataclass(frozen=True)
class TreeState:
    """Digest of everything in a tree, and the size of its files in bytes on disk."""

    digest: str
    bytes: int


def settle(tree: Path, begun: float, epoch: int) -> None:
    """Give everything that was written during a build the time `epoch`.

    Packages bring the times of their own build; what hooks and maintainer scripts write gets the wall clock's, which
    is different in each build. Compiled Python remembers the time of its source, so times that packages brought stay.

    Args:
        begun: when the build began, seconds since 1970.
        epoch: seconds since 1970; before `begun`.
    """
    for path in (str(tree), *walk(str(tree))):
        if os.lstat(path).st_mtime >= begun:
            os.utime(path, (epoch, epoch), follow_symlinks=False)


def share(tree: Path, parent: Path) -> None:
    """Let files that are the same as in the parent's tree take no space of their own: a layer costs what it adds.

    Both trees are only read from now on; a build works on a copy. Files with several names inside the tree are left
    alone, and two names never become one file.
    """
    root, place, aside = str(tree), str(parent), f"{tree}.link"
    taken: set[tuple[int, int]] = set()
    for folder in [root, *(path for path in walk(root) if stat.S_ISDIR(os.lstat(path).st_mode))]:
        before = os.lstat(folder)
        with os.scandir(folder) as listing:
            names = sorted(entry.name for entry in listing if entry.is_file(follow_symlinks=False))
        for name in names:
            path = f"{folder}/{name}"
            twin = place + path[len(root) :]
            inode = same_file(path, twin)
            if inode is not None and inode not in taken:
                taken.add(inode)
                os.link(twin, aside, follow_symlinks=False)
                Path(aside).replace(path)
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def same_file(path: str, twin: str) -> tuple[int, int] | None:
    """Device and inode of `twin` if it is the same as `path` in everything but its place on the disk."""
    found = os.lstat(path)
    try:
        there = os.lstat(twin)
    except (FileNotFoundError, NotADirectoryError):
        return None
    facts = [
        (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_size, facts.st_mtime_ns, facts.st_dev)
        for facts in (found, there)
    ]
    if facts[0] != facts[1] or found.st_nlink != 1 or not found.st_size:
        return None
    if extended(path) != extended(twin) or not same_content(path, twin):
        return None
    return there.st_dev, there.st_ino


def same_content(one: str, other: str) -> bool:
    """Whether two files of the same size hold the same bytes."""
    handles = [os.open(path, os.O_RDONLY | os.O_NOFOLLOW) for path in (one, other)]
    try:
        while block := os.read(handles[0], PIECE):
            if block != os.read(handles[1], PIECE):
                return False
    finally:
        for handle in handles:
            os.close(handle)
    return True


def extended(path: str) -> list[tuple[str, bytes]]:
    """Extended attributes by name."""
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]


def state(tree: Path) -> TreeState:
    """Names, kinds, owners, modes, times, attributes and content of a tree (17,000 entries, 0.5 GiB: 1.3 s)."""
    root = str(tree)
    whole, total = hashlib.sha256(), 0
    paths = [root, *walk(root)]
    # Not st_nlink: other layers may share the file.
    names = Counter((facts.st_dev, facts.st_ino) for facts in map(os.lstat, paths))
    for path in paths:
        line, size = describe(root, path, names)
        whole.update(line + b"\n")
        total += size
    return TreeState(whole.hexdigest(), total)


def describe(root: str, path: str, names: Mapping[tuple[int, int], int]) -> tuple[bytes, int]:
    """One entry in one line, and its size on disk; `names` counts the names of each file inside the tree."""
    found = os.lstat(path)
    kind = stat.S_IFMT(found.st_mode)
    words = [path[len(root) :], f"{found.st_mode:o} {found.st_uid} {found.st_gid} {int(found.st_mtime)}"]
    if kind == stat.S_IFREG:
        words += [str(names[found.st_dev, found.st_ino]), content(path)]
    elif kind == stat.S_IFLNK:
        words.append(str(Path(path).readlink()))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        words.append(str(found.st_rdev))
    words += [f"{name}={value.hex()}" for name, value in extended(path)]
    # A file of several names counts once in all.
    size = 0 if kind == stat.S_IFDIR else found.st_blocks * BLOCK // names[found.st_dev, found.st_ino]
    return "\0".join(words).encode(errors="surrogateescape"), size


def content(path: str) -> str:
    """SHA-256 of a file."""
    whole = hashlib.sha256()
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while block := os.read(handle, PIECE):
            whole.update(block)
    finally:
        os.close(handle)
    return whole.hexdigest()


def walk(folder: str) -> Iterator[str]:
    """Everything below a folder, links not followed, by name."""
    with os.scandir(folder) as listing:
        names = sorted(listing, key=lambda entry: os.fsencode(entry.name))
    for entry in names:
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)
