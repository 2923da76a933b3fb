"""The files of an image read from its disk: no loop device, no mount, so that it works wherever images are built.

debugfs walks the root file system at its offset in the raw disk: 17,000 names with all they hold take two seconds.
"""

from __future__ import annotations

import json
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError
from mailimg.filetree import CAPABILITY, KINDS, Entry, capability_words

TIMEOUT = 600.0  # seconds for one tool; the largest image took 5
ROOT_INODE = 2
BATCH = 500  # files that lie in the work folder at once
# ls -p: /inode/mode/uid/gid/name/size/
LISTED = re.compile(r"^/(\d+)/([0-7]{6})/(\d+)/(\d+)/([^/]+)/(\d*)/$")
ECHO = re.compile(r"^debugfs: ls -p <(\d+)>$")


class DiskFiles:
    """The files of an ext4 file system inside a raw disk.

    Args:
        filesystem: as e2fsprogs names it, `disk.raw?offset=N`.
        work: an empty folder.
    """

    def __init__(self, filesystem: str, work: Path) -> None:
        self.filesystem = filesystem
        self.work = work
        self.inodes: dict[str, int] = {}

    def entries(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        folders = {ROOT_INODE: ""}
        while folders:
            listing = self.ask([f"ls -p <{inode}>" for inode in folders])
            below: dict[int, str] = {}
            for path, inode, entry in listed(listing, folders):
                found[path] = entry
                self.inodes[path] = inode
                if entry.kind == "folder":
                    below[inode] = path
            folders = below
        facts = details(self.ask([f"stat <{self.inodes[path]}>" for path, entry in found.items()
                                  if entry.kind in ("file", "link")]))
        for path, entry in found.items():
            target, capabilities = facts.get(self.inodes[path], ("", ""))
            found[path] = replace(entry, target=target, capabilities=capabilities)
        # A target of 60 bytes and more does not stand in the inode.
        for path, place in self.read([path for path, one in found.items() if one.kind == "link" and not one.target]):
            found[path] = replace(found[path], target=place.read_text(errors="replace"))
        return found

    def read(self, paths: Iterable[str]) -> Iterator[tuple[str, Path]]:
        if not self.inodes:
            self.entries()
        wanted = list(paths)
        for first in range(0, len(wanted), BATCH):
            batch = wanted[first : first + BATCH]
            with tempfile.TemporaryDirectory(dir=self.work) as name:
                folder = Path(name)
                self.ask([f'dump <{self.inodes[path]}> "{folder}/{number}"' for number, path in enumerate(batch)])
                for number, path in enumerate(batch):
                    yield path, folder / str(number)

    def ask(self, commands: Sequence[str]) -> str:
        """What debugfs answers to commands.

        Raises:
            StepError: it complained; it ends with 0 whatever happens.
        """
        script = self.work / "commands"
        script.write_text("\n".join(commands) + "\n")
        done = process.run(["debugfs", "-f", script, self.filesystem], what="read the image", timeout=TIMEOUT)
        said = [line for line in done.stderr.splitlines() if not line.startswith("debugfs 1.")]
        if said:
            raise StepError("read the image: debugfs complained", tail=said[: process.TAIL_LINES])
        return done.stdout


def listed(text: str, folders: dict[int, str]) -> Iterator[tuple[str, int, Entry]]:
    """Path, inode and entry of each name in what debugfs lists.

    Args:
        folders: path of each folder that was asked for, by inode.

    Raises:
        StepError: debugfs prints something else than it used to.
    """
    folder = ""
    for line in text.splitlines():
        echo, name = ECHO.match(line), LISTED.match(line)
        if echo:
            folder = folders[int(echo[1])]
        elif name:
            mode = int(name[2], 8)
            kind = KINDS[stat.S_IFMT(mode)]
            size = int(name[6] or 0) if kind == "file" else 0
            if name[5] not in (".", "..") and f"{folder}/{name[5]}" != "/lost+found":
                entry = Entry(kind, stat.S_IMODE(mode), int(name[3]), int(name[4]), size)
                yield f"{folder}/{name[5]}", int(name[1]), entry
        elif line.strip():
            raise StepError(f"read the image: debugfs lists {line!r}, which cannot be understood")


def details(text: str) -> dict[int, tuple[str, str]]:
    """By inode, the link's target, if it stands in the inode, and capabilities in words."""
    found = {}
    for block in re.split(r"^debugfs: stat .*\n", text, flags=re.MULTILINE)[1:]:
        inode = re.match(r"Inode: (\d+) ", block)
        target = re.search(r'^Fast link dest: "(.*)"$', block, re.MULTILINE)
        capability = re.search(rf"^  {CAPABILITY} \(\d+\) = ((?:[0-9a-f]{{2}} ?)+)$", block, re.MULTILINE)
        if inode:
            value = bytes.fromhex(capability[1]) if capability else b""
            found[int(inode[1])] = (target[1] if target else "", capability_words(value))
    return found


@contextmanager
def disk_files(image: Path, form: str) -> Iterator[DiskFiles]:
    """The files of an image; a sparse raw copy of it lies in TMPDIR meanwhile.

    Args:
        form: `qcow2` or `raw`.

    Raises:
        StepError: it is no image with a root file system.
    """
    with tempfile.TemporaryDirectory(prefix="mailimg-diff-") as name:
        work, raw = Path(name), image.absolute()
        if form != "raw":
            raw = work / "disk.raw"
            process.run(["qemu-img", "convert", "-f", form, "-O", "raw", image, raw], what=f"unpack {image.name}",
                        timeout=TIMEOUT)
        what = f"read the partition table of {image.name}"
        table = process.run(["sfdisk", "--json", raw], what=what, timeout=TIMEOUT)
        # Root is last, so that growpart can grow it (disk.layout).
        start = json.loads(table.stdout)["partitiontable"]["partitions"][-1]["start"]
        yield DiskFiles(f"{raw}?offset={start * 512}", work)
