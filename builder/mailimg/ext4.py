"""An ext4 filesystem inside a file, filled from a tree, with times that anybody can have again."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError

TIMEOUT = 1800.0  # seconds for one tool; the largest tree took under 60
ROOT_INODE, JOURNAL_INODE = 2, 8
FIRST_INODE = 11  # EXT4_GOOD_OLD_FIRST_INO: below are the filesystem's own


@dataclass(frozen=True)
class Filesystem:
    """One filesystem.

    Args:
        offset, size: place in the file, in bytes.
        features: mke2fs -O list.
        uuid, hash_seed: UUIDs; the seed decides the order inside large directories.
        epoch: seconds since 1970 that stand for "now".
    """

    offset: int
    size: int
    features: str
    uuid: str
    hash_seed: str
    epoch: int

    def at(self, raw: Path) -> str:
        """The filesystem in a file, as e2fsprogs names it."""
        return f"{raw}?offset={self.offset}"


def make_filesystem(tree: Path, files: Mapping[str, str], spec: Filesystem, raw: Path, scratch: Path) -> None:
    """Make the filesystem inside `raw` and fill it with `tree` and, on top, with `files`.

    The files are laid over the tree by a read-only overlay in a mount namespace of its own: the tree may be a layer
    that other images share.

    Args:
        files: text by path relative to the root.
        scratch: an existing, empty directory.

    Raises:
        StepError: a tool failed.
    """
    for name in ("extra", "tree", "merged"):
        (scratch / name).mkdir()
    lay_extra(tree, scratch / "extra", files, spec.epoch)
    extended = [f"offset={spec.offset}", f"hash_seed={spec.hash_seed}", "root_owner=0:0",
                "lazy_itable_init=1", "lazy_journal_init=1"]
    mke2fs = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "root", "-O", spec.features, "-U", spec.uuid,
              "-E", ",".join(extended), "-d", "merged", str(raw.absolute()), f"{spec.size // 1024}k"]
    # Relative names: a colon or comma in a path would end an option of overlayfs.
    script = 'mount --bind "$1" tree; mount -t overlay -o ro,lowerdir=extra:tree overlay merged; shift; exec "$@"'
    process.run(process.confine(["sh", "-eu", "-c", script, "sh", str(tree.absolute()), *mke2fs]),
                what="make the root filesystem", cwd=scratch, timeout=TIMEOUT, env=_clock(spec))
    clamp_times(spec, raw, scratch)


def lay_extra(tree: Path, extra: Path, files: Mapping[str, str], epoch: int) -> None:
    """Write `files` below `extra`; directories take mode, owner and times of the tree's own, where it has them."""
    for name, text in files.items():
        path = extra / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        os.utime(path, (epoch, epoch))
    directories = {extra / parent for name in files for parent in Path(name).parents}
    for directory in sorted(directories, reverse=True):
        original = tree / directory.relative_to(extra)
        if original.is_dir():
            owner = original.stat()
            os.chown(directory, owner.st_uid, owner.st_gid)
            shutil.copystat(original, directory)
        else:
            directory.chmod(0o755)
            os.utime(directory, (epoch, epoch))


def clamp_times(spec: Filesystem, raw: Path, scratch: Path) -> None:
    """Set access, change and creation time of every inode to the epoch; modification times stay the tree's.

    mke2fs copies access and change times, and no program can set the change time of the files it copies from. debugfs
    sets them in the filesystem and keeps the checksums right (16,800 inodes: 0.2 s).
    """
    groups = process.run(["dumpe2fs", spec.at(raw)], what="list the inodes", timeout=TIMEOUT).stdout
    commands = scratch / "times"
    with commands.open("w") as file:
        for inode in used_inodes(groups):
            for field in ("atime", "ctime", "crtime"):
                file.write(f"set_inode_field <{inode}> {field} @{spec.epoch}\n")
                file.write(f"set_inode_field <{inode}> {field}_extra 0\n")
    done = process.run(["debugfs", "-w", "-f", commands, spec.at(raw)], what="set the times of the root filesystem",
                       timeout=TIMEOUT, env=_clock(spec))
    # debugfs ends with 0 whatever happens: a line that is neither its banner nor the echo of a command is a complaint.
    said = [line for line in done.stderr.splitlines() if not line.startswith("debugfs 1.")]
    said += [line for line in done.stdout.splitlines() if not line.startswith("debugfs: set_inode_field")]
    if said:
        raise StepError("set the times of the root filesystem: debugfs complained", tail=said[:process.TAIL_LINES])


def used_inodes(groups: str) -> Iterator[int]:
    """Inodes in use that carry times, from what dumpe2fs prints.

    Raises:
        StepError: the text is not what dumpe2fs prints.
    """
    count = re.search(r"^Inode count: +(\d+)$", groups, re.MULTILINE)
    ranges = re.findall(r"^  Free inodes: ?(.*)$", groups, re.MULTILINE)
    if count is None or not ranges:
        raise StepError("list the inodes: dumpe2fs prints something else than it used to")
    free: set[int] = set()
    for word in ", ".join(ranges).split(", "):
        if word:
            first, _, last = word.partition("-")
            free.update(range(int(first), int(last or first) + 1))
    for inode in (ROOT_INODE, JOURNAL_INODE, *range(FIRST_INODE, int(count[1]) + 1)):
        if inode not in free:
            yield inode


def _clock(spec: Filesystem) -> dict[str, str]:
    """What makes e2fsprogs believe that it is the epoch (1.47.0 reads the first, later ones both)."""
    return {"E2FSPROGS_FAKE_TIME": str(spec.epoch), "SOURCE_DATE_EPOCH": str(spec.epoch)}
