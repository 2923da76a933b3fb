"""The qcow2 writer against QEMU's own tools: sound, the same content, not much larger than theirs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mailimg import disk, process

pytestmark = pytest.mark.lab

MIB = disk.MIB
CLUSTER = 65536


def at(place: int, data: bytes) -> Callable[[Path], None]:
    """What writes data at a place of a disk."""

    def write(raw: Path) -> None:
        with raw.open("r+b") as file:
            file.seek(place)
            file.write(data)

    return write


def mixed(raw: Path) -> None:
    """Compressible and incompressible clusters in turn, so that both kinds of places are interleaved."""
    with raw.open("r+b") as file:
        for number in range(200):
            file.write(os.urandom(CLUSTER) if number % 3 == 0 else os.urandom(number * 300).ljust(CLUSTER, b"y"))


# Name -> size of the disk, what is on it. One level-2 table covers 512 MiB.
DISKS: dict[str, tuple[int, Callable[[Path], None] | None]] = {
    "empty": (64 * MIB, None),
    "one byte at the end": (64 * MIB, at(64 * MIB - 1, b"x")),
    "random": (40 * MIB, at(0, os.urandom(40 * MIB))),
    "compressible": (40 * MIB, at(0, b"all the same " * (40 * MIB // 13))),
    "mixed": (40 * MIB, mixed),
    "not whole clusters": (3 * MIB + 512, at(3 * MIB, b"x" * 512)),
    "not whole sectors": (3 * MIB + 100, at(3 * MIB, b"x" * 100)),
    "two level-2 tables": (1500 * MIB, at(700 * MIB, b"middle" * 100_000)),
    "a border": (1500 * MIB, at(512 * MIB - 3000, os.urandom(3000) + b"z" * 3000)),
}


@pytest.mark.parametrize("name", DISKS)
def test_qemu_finds_the_image_sound_and_the_same(tmp_path: Path, name: str) -> None:
    size, fill = DISKS[name]
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    with raw.open("wb") as file:
        file.truncate(size)
    if fill is not None:
        fill(raw)
    disk.convert(raw, image, compress="zlib")
    check = ["qemu-img", "check", "-f", "qcow2", "--output=json", image]
    found = json.loads(process.run(check, what="check", timeout=60).stdout)
    assert {found.get(problem, 0) for problem in ("check-errors", "leaks", "corruptions")} == {0}
    process.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image], what="compare", timeout=60)
    theirs = tmp_path / "theirs.qcow2"
    process.run(["qemu-img", "convert", "-c", "-O", "qcow2", raw, theirs], what="convert", timeout=60)
    assert image.stat().st_size <= theirs.stat().st_size * 1.1 + 4 * CLUSTER


def test_qemu_writes_to_it_and_it_stays_sound(tmp_path: Path) -> None:
    """Refcounts of shared clusters are used when QEMU replaces what was compressed."""
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    with raw.open("wb") as file:
        file.truncate(40 * MIB)
    mixed(raw)
    disk.convert(raw, image)
    commands = [word for place in range(0, 13_000_000, 100_000) for word in ("-c", f"write -P 7 {place} 30k")]
    process.run(["qemu-io", "-f", "qcow2", *commands, image], what="write", timeout=60)
    process.run(["qemu-img", "check", "-f", "qcow2", image], what="check", timeout=60)
    process.run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 100000 30k", image], what="read", timeout=60)


def test_the_same_disk_gives_the_same_bytes_whatever_its_holes(tmp_path: Path) -> None:
    raw, dense = tmp_path / "disk.raw", tmp_path / "dense.raw"
    with raw.open("wb") as file:
        file.truncate(40 * MIB)
    at(10 * MIB, b"text" * 100_000)(raw)
    dense.write_bytes(raw.read_bytes())
    assert dense.stat().st_blocks > raw.stat().st_blocks
    disk.convert(raw, tmp_path / "one", threads=1)
    disk.convert(dense, tmp_path / "two", threads=4)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
