"""Files with logs: found, opened whatever they were compressed with, searched block by block.

Memory does not grow with a file: one block and the line that is cut by its end are all that is held.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from mailimg.errors import InputError

BLOCK = 1 << 20  # bytes
# The longest line that is taken for one; what has none as long as this is no log.
LONGEST = 1 << 20
GZIP, BZIP2, XZ, ZSTD, JOURNAL = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"LPKSHHRH"
UNREADABLE = {ZSTD: "compressed with zstd: unpack it first (`zstd -d`)",
              JOURNAL: "a binary journal: `journalctl --file FILE -o json >FILE.json` makes it readable"}
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Source:
    """A file with lines of one node, or of many.

    Attributes:
        place: the node, for lines that do not name it.
        written: when it was written last; says the year of lines that do not.
    """

    path: Path
    place: str
    written: datetime


@dataclass
class Searched:
    """What a search has read: passes over all files, unpacked bytes and lines of all passes, files of one."""

    files: int = 0
    passes: int = 0
    lines: int = 0
    octets: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Keep a warning; each once, however often a file is read."""
        if text not in self.warnings:
            self.warnings.append(text)


def find(places: Sequence[Path], searched: Searched) -> list[Source]:
    """The files that are named, and all in the folders that are named, at any depth.

    What is no log is passed over in a folder with a warning, where it could have been one.

    Raises:
        InputError: a place does not exist or cannot be read, or there is no log at all.
    """
    problems: list[str] = []
    found: list[Source] = []
    for place in places:
        if not place.exists():
            problems.append(f"{place}: there is no such file or folder")
        elif place.is_dir():
            for path in sorted(entry for entry in place.rglob("*") if entry.is_file()):
                why = unfit(path)
                if not why:
                    found.append(Source(path, path.relative_to(place).parts[0].split(".")[0], written(path)))
                elif why in UNREADABLE.values():
                    searched.warn(f"{path}: passed over: {why}")
        elif why := unfit(place):
            problems.append(f"{place}: {why}")
        else:
            found.append(Source(place, place.name.split(".")[0], written(place)))
    if not found and not problems:
        problems.append(f"no log in {', '.join(map(str, places))}")
    if problems:
        raise InputError(problems, "Name files or folders with logs: --logs DIR, --logs FILE.")
    searched.files = len(found)
    return found


def unfit(path: Path) -> str:
    """Why a file cannot be read as a log; empty if it can."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    for magic, why in UNREADABLE.items():
        if head.startswith(magic):
            return why
    if head.startswith((GZIP, BZIP2, XZ)):
        return ""
    return "no text" if b"\0" in head else ""


def written(path: Path) -> datetime:
    """When a file was changed last, in UTC."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def opened(path: Path) -> IO[bytes]:
    """A file, unpacked as its first bytes (not its name) say."""
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(GZIP):
        return cast(IO[bytes], gzip.open(path))
    if head.startswith(BZIP2):
        return bz2.open(path)
    if head.startswith(XZ):
        return lzma.open(path)
    return path.open("rb")


def search(source: Source, needles: Sequence[bytes], searched: Searched) -> Iterator[tuple[int, bytes]]:
    """Lines (without their ends) that contain one of `needles`, each with its place in bytes; in the file's order.

    A file that is damaged is read as far as it goes, with a warning.
    """
    rest, start = b"", 0
    try:
        with opened(source.path) as file:
            while block := file.read(BLOCK):
                searched.octets += len(block)
                searched.lines += block.count(b"\n")
                block = rest + block
                cut = block.rfind(b"\n") + 1
                yield from within(block, 0, cut, start, needles)
                rest = block[cut:]
                start += cut
                if len(rest) > LONGEST:
                    start += len(rest)
                    rest = b""
    except DAMAGED as error:
        searched.warn(f"{source.path}: damaged, read as far as it goes: {error}")
    except OSError as error:
        searched.warn(f"{source.path}: cannot be read to its end: {error.strerror or error}")
    if rest:
        yield from within(rest, 0, len(rest), start, needles)


def within(block: bytes, begin: int, end: int, start: int, needles: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines of a block that contain a needle.

    Args:
        start: place of the block in its file.
    """
    hits: dict[int, int] = {}
    for needle in needles:
        at = block.find(needle, begin, end)
        while at >= 0:
            first = block.rfind(b"\n", begin, at) + 1
            last = block.find(b"\n", at, end)
            last = end if last < 0 else last
            hits[first] = last
            at = block.find(needle, last, end)
    for first in sorted(hits):
        yield start + first, block[first : hits[first]].rstrip(b"\r")
