"""Writes compressed qcow2 files, in threads and the same bytes every time.

`qemu-img convert -c` spends its time in one zlib level 6. The format only wants raw deflate with a window of 4 KiB,
cluster by cluster, so several cores and a faster deflate do. zlib-ng: at level 6 it runs at 2.3 times zlib's speed for
images 3 % larger (ISA-L: 8 times for 7-8 %), and wrote the same bytes on every kind of CPU tried; ISA-L did not.

Format: docs/interop/qcow2.txt of QEMU. Version 3 without any feature bit: QEMU 1.1 and later read it.

    cluster 0     header
    then          data, in the order of the disk: compressed clusters back to back, incompressible ones as they are
    then          level-2 tables, level-1 table, refcount blocks, refcount table
"""

from __future__ import annotations

import os
import struct
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from zlib_ng import zlib_ng

from mailimg import process
from mailimg.errors import StepError

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
SECTOR = 512
TABLE_ENTRIES = CLUSTER // 8  # of level-1, level-2 and refcount tables: 64 bit each
REFCOUNT_ORDER = 4  # refcounts of 16 bit
BLOCK_ENTRIES = CLUSTER // 2

COPIED = 1 << 63  # the cluster has refcount 1: QEMU may write to it in place
COMPRESSED = 1 << 62
SECTORS_SHIFT = 62 - (CLUSTER_BITS - 8)

LEVEL = 6
WINDOW = -12  # raw deflate, 4 KiB: what QEMU gives to inflateInit2
HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
ZEROS = bytes(CLUSTER)

BATCH = 16  # clusters a thread takes at once
AHEAD = 4  # batches a thread may be ahead of the writer: bounds the memory


def version() -> str:
    """Version of the deflate that decides the bytes."""
    return str(zlib_ng.ZLIBNG_VERSION)


def clusters(size: int) -> int:
    """How many clusters hold that many bytes."""
    return -(-size // CLUSTER)


def compressed_entry(offset: int, size: int) -> int:
    """Level-2 entry of a compressed cluster: its place in bytes, and the sectors it touches beyond the first."""
    more = (offset + size - 1) // SECTOR - offset // SECTOR
    return COMPRESSED | more << SECTORS_SHIFT | offset


@dataclass
class Space:
    """Hands out places in the file and counts the references of each cluster.

    Attributes:
        refcounts: one a cluster of the file; the header's is there from the start.
        packed: where the next compressed cluster goes, in bytes.
    """

    refcounts: array[int] = field(default_factory=lambda: array("H", [1]))
    packed: int = CLUSTER

    def whole(self, count: int = 1) -> int:
        """Place of whole clusters; always at the end."""
        offset = len(self.refcounts) * CLUSTER
        self.refcounts.extend([1] * count)
        return offset

    def part(self, size: int) -> int:
        """Place of a compressed cluster: right behind the last one, if that is free, else at the end."""
        border, end = clusters(self.packed) * CLUSTER, len(self.refcounts) * CLUSTER
        if self.packed + size > border and border != end:
            self.packed = end
        offset = self.packed
        self.packed += size
        self.refcounts.extend([0] * (clusters(self.packed) - len(self.refcounts)))
        for cluster in range(offset // CLUSTER, clusters(self.packed)):
            self.refcounts[cluster] += 1
        return offset

    def refcount_structures(self) -> tuple[int, int, int, int]:
        """Place of the refcount blocks, their number, place of the refcount table, its clusters.

        They count themselves, so their number is a fixed point.
        """
        blocks = table = 0
        while True:
            total = len(self.refcounts) + blocks + table
            wanted = -(-total // BLOCK_ENTRIES), -(-blocks // TABLE_ENTRIES)
            if wanted == (blocks, table):
                break
            blocks, table = wanted
        return self.whole(blocks), blocks, self.whole(table), table


def header(size: int, l1_entries: int, l1: int, refcount_table: int, refcount_clusters: int) -> bytes:
    """The header of version 3 and the end of its (empty) list of extensions."""
    return HEADER.pack(
        b"QFI\xfb", 3, 0, 0, CLUSTER_BITS, size, 0, l1_entries, l1, refcount_table, refcount_clusters, 0, 0, 0, 0, 0,
        REFCOUNT_ORDER, HEADER.size,
    ) + bytes(8)


def big_endian(values: array[int]) -> bytes:
    """An array as the format stores it, filled up to whole clusters."""
    swapped = array(values.typecode, values)
    swapped.byteswap()
    data = swapped.tobytes()
    return data + bytes(clusters(len(data)) * CLUSTER - len(data))


def data_batches(file: int, size: int) -> Iterator[range]:
    """Numbers of the clusters that may hold data, in order and in batches; what are holes is left out.

    Args:
        file: descriptor of the raw disk.
        size: of the raw disk in bytes.
    """
    done = 0  # a cluster may hold the end of one extent and the start of the next
    place = 0
    while place < size:
        try:
            start = os.lseek(file, place, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        place = os.lseek(file, start, os.SEEK_HOLE)
        last = clusters(place)
        for first in range(max(done, start // CLUSTER), last, BATCH):
            yield range(first, min(first + BATCH, last))
        done = last


def compress_batch(file: int, numbers: range) -> list[tuple[int, bytes, bool]]:
    """Number, bytes, and whether these are compressed, of each cluster that is not all zeros; runs in a thread."""
    found = []
    for number in numbers:
        data = os.pread(file, CLUSTER, number * CLUSTER)
        data += ZEROS[len(data) :]
        if data == ZEROS:
            continue
        packed = zlib_ng.compress(data, LEVEL, WINDOW)
        found.append((number, packed, True) if len(packed) < CLUSTER else (number, data, False))
    return found


def compress_all(file: int, size: int, threads: int) -> Iterator[tuple[int, bytes, bool]]:
    """What `compress_batch` gives for the whole disk, in the order of the disk however the threads take turns.

    Raises:
        StepError: the command was interrupted.
    """
    pending: deque[Future[list[tuple[int, bytes, bool]]]] = deque()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="qcow2") as pool:
        for numbers in data_batches(file, size):
            if process.stopped.is_set():
                raise StepError("interrupted while writing the image")
            pending.append(pool.submit(compress_batch, file, numbers))
            if len(pending) > threads * AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def write(raw: Path, target: Path, *, threads: int) -> None:
    """Write a raw disk as a compressed qcow2; the caller renames it when it is whole.

    Args:
        raw: the disk; holes are not read. Counts as filled up to whole sectors, as for qemu-img.
        target: written anew.
        threads: that compress; they decide no byte.

    Raises:
        StepError: the command was interrupted.
        OSError: the raw disk cannot be read, or the target not be written.
    """
    with raw.open("rb") as source, target.open("wb") as file:
        size = os.fstat(source.fileno()).st_size
        entries = array("Q", bytes(8 * clusters(size)))
        space = Space()
        for number, data, packed in compress_all(source.fileno(), size, threads):
            if packed:
                offset = space.part(len(data))
                entries[number] = compressed_entry(offset, len(data))
            else:
                offset = space.whole()
                entries[number] = COPIED | offset
            put(file, offset, data)
        finish(file, -(-size // SECTOR) * SECTOR, entries, space)


def finish(file: BinaryIO, size: int, entries: array[int], space: Space) -> None:
    """Write all tables and, last, the header.

    Args:
        size: of the disk, in bytes.
        entries: level-2 entry of each cluster of the disk; 0 where it is empty.
        space: what the data took.
    """
    l1 = array("Q")
    for first in range(0, max(len(entries), 1), TABLE_ENTRIES):
        table = entries[first : first + TABLE_ENTRIES]
        if any(table):
            offset = space.whole()
            put(file, offset, big_endian(table))
            l1.append(COPIED | offset)
        else:
            l1.append(0)
    l1_place = space.whole(clusters(len(l1) * 8))
    put(file, l1_place, big_endian(l1))
    blocks_place, blocks, table_place, table_clusters = space.refcount_structures()
    put(file, blocks_place, big_endian(space.refcounts))
    put(file, table_place, big_endian(array("Q", [blocks_place + CLUSTER * number for number in range(blocks)])))
    put(file, 0, header(size, len(l1), l1_place, table_place, table_clusters))


def put(file: BinaryIO, offset: int, data: bytes) -> None:
    """Write bytes at a place of the file."""
    file.seek(offset)
    file.write(data)
