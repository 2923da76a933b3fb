"""The arithmetic of the qcow2 writer: entries, places, refcounts, order."""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from pathlib import Path

import pytest

from mailimg import process, qcow2
from mailimg.errors import StepError
from mailimg.qcow2 import BLOCK_ENTRIES, CLUSTER, COMPRESSED, COPIED, Space


@pytest.mark.parametrize(
    ("offset", "size", "more"),
    [(CLUSTER, 1, 0), (CLUSTER, 512, 0), (CLUSTER, 513, 1), (CLUSTER + 511, 1, 0), (CLUSTER + 511, 2, 1),
     (CLUSTER + 100, CLUSTER - 1, 128)],
)
def test_a_compressed_entry_counts_the_sectors_it_touches_beyond_the_first(offset: int, size: int, more: int) -> None:
    entry = qcow2.compressed_entry(offset, size)
    assert entry & COMPRESSED
    assert not entry & COPIED
    assert entry & (1 << 54) - 1 == offset
    assert entry >> 54 & 0xFF == more


def test_compressed_clusters_lie_back_to_back_and_share_clusters() -> None:
    space = Space()
    assert [space.part(30_000) for _ in range(3)] == [CLUSTER, CLUSTER + 30_000, CLUSTER + 60_000]
    # Header; two and a piece; the rest of the third.
    assert space.refcounts.tolist() == [1, 3, 1]


def test_the_room_behind_a_whole_cluster_is_used_only_by_what_fits() -> None:
    space = Space()
    space.part(60_000)
    assert space.whole() == 2 * CLUSTER
    assert space.part(5_000) == CLUSTER + 60_000
    assert space.part(5_000) == 3 * CLUSTER
    assert space.refcounts.tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize("packed", [0, CLUSTER])
def test_a_full_cluster_leads_nobody_into_the_whole_one_behind_it(packed: int) -> None:
    space = Space()
    if packed:
        space.part(packed)
    whole = space.whole()
    assert space.part(10) == whole + CLUSTER
    assert set(space.refcounts) == {1}


@pytest.mark.parametrize("data", [0, 1, BLOCK_ENTRIES - 3, BLOCK_ENTRIES - 2, BLOCK_ENTRIES, 3 * BLOCK_ENTRIES])
def test_refcount_structures_count_themselves(data: int) -> None:
    space = Space()
    space.whole(data)
    place, blocks, table, clusters = space.refcount_structures()
    assert place == (1 + data) * CLUSTER
    assert table == place + blocks * CLUSTER
    assert len(space.refcounts) == 1 + data + blocks + clusters
    assert (blocks - 1) * BLOCK_ENTRIES < len(space.refcounts) <= blocks * BLOCK_ENTRIES
    assert clusters == 1


def test_the_header_is_that_of_version_3_without_features() -> None:
    text = qcow2.header(1 << 30, 2, 0x30000, 0x50000, 1)
    assert qcow2.HEADER.size == 104
    assert text[:8] == b"QFI\xfb\0\0\0\x03"
    assert struct.unpack_from(">Q", text, 24) == (1 << 30,)
    assert struct.unpack_from(">IQQI", text, 36) == (2, 0x30000, 0x50000, 1)
    assert text[72:96] == bytes(24)
    assert text[104:] == bytes(8)


def test_tables_are_big_endian_and_fill_their_clusters() -> None:
    text = qcow2.big_endian(array("H", [1, 0x1234]))
    assert text[:4] == b"\0\x01\x12\x34"
    assert len(text) == CLUSTER


def written(tmp_path: Path, content: dict[int, bytes], size: int, threads: int = 2) -> bytes:
    """The image of a disk with that content."""
    raw, image = tmp_path / "raw", tmp_path / f"image-{threads}"
    with raw.open("wb") as file:
        file.truncate(size)
        for place, data in content.items():
            file.seek(place)
            file.write(data)
    qcow2.write(raw, image, threads=threads)
    return image.read_bytes()


def read_back(image: bytes, number: int) -> bytes | None:
    """One cluster of an image, as QEMU finds it; None where it is empty."""
    (l1,) = struct.unpack_from(">Q", image, 40)
    (table,) = struct.unpack_from(">Q", image, l1 + number // 8192 * 8)
    if not table:
        return None
    (entry,) = struct.unpack_from(">Q", image, (table & ~COPIED) + number % 8192 * 8)
    if not entry & COMPRESSED:
        place = entry & ~COPIED
        return image[place : place + CLUSTER] if entry else None
    place = entry & (1 << 54) - 1
    end = (place // 512 + 1 + (entry >> 54 & 0xFF)) * 512
    return zlib.decompressobj(-12).decompress(image[place:end])


def test_what_is_written_is_read_back_and_threads_decide_nothing(tmp_path: Path) -> None:
    random = os.urandom(CLUSTER)
    content = {0: b"a" * 100, 5 * CLUSTER: random, 6 * CLUSTER: bytes(CLUSTER), 8200 * CLUSTER + 3: b"end"}
    size = 8200 * CLUSTER + 1024
    image = written(tmp_path, content, size)
    assert read_back(image, 0) == b"a" * 100 + bytes(CLUSTER - 100)
    assert read_back(image, 5) == random
    assert read_back(image, 6) is None
    assert read_back(image, 7) is None
    assert read_back(image, 8200) == b"\0\0\0end" + bytes(CLUSTER - 6)
    assert len(image) % CLUSTER == 0
    assert written(tmp_path, content, size, threads=1) == image


def test_batches_keep_to_extents_and_take_no_cluster_twice(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    with raw.open("wb") as file:
        file.truncate(100 * CLUSTER)
        # Two extents with a hole of a few KiB between them inside one cluster, and 17 clusters in a row.
        for place, size in ((0, 4096), (16384, 4096), (40 * CLUSTER, 17 * CLUSTER)):
            file.seek(place)
            file.write(b"x" * size)
    with raw.open("rb") as file:
        batches = list(qcow2.data_batches(file.fileno(), 100 * CLUSTER))
    numbers = [number for batch in batches for number in batch]
    assert numbers == sorted(set(numbers))
    assert {0, *range(40, 57)} <= set(numbers)
    assert max(len(batch) for batch in batches) <= qcow2.BATCH


def test_an_interruption_ends_the_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.stopped, "is_set", lambda: True)
    with pytest.raises(StepError, match="interrupted while writing the image"):
        written(tmp_path, {0: b"x"}, CLUSTER)
