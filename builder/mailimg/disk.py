"""A root tree becomes a disk: partition table, filesystem, boot loader, image format.

No loop device, no device-mapper, no udev: the filesystem is populated by `mke2fs -d` at its offset in the file, the
boot loader is written as bytes. So it runs in containers, and two builds never meet in /dev. The tree is only read.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailimg import process, qcow2
from mailimg.bootloader import SECTOR, BootEntry, grub_config, install_bios, install_uefi, make_image
from mailimg.errors import InputError, StepError
from mailimg.ext4 import Filesystem, make_filesystem

MIB = 1024 * 1024
ALIGN = MIB // SECTOR  # partitions start at whole MiB, as every current tool does
ESP_SECTORS = 32 * ALIGN
TAIL_SECTORS = ALIGN  # the backup GPT needs 33 sectors; a whole MiB keeps the filesystem's end aligned
NO_ROOM_HINT = "Free some space there, or name another directory."
TIMEOUT = 1800.0  # seconds for one tool; the largest image took under 60

# Partition type GUIDs: UEFI specification 2.10, table 5.7; GRUB manual, "BIOS installation"; Linux filesystem data.
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS_TYPE = "21686148-6449-6E6F-744E-656564454649"
LINUX_TYPE = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


@dataclass(frozen=True)
class DiskSpec:
    """Everything that decides a disk besides the tree.

    Args:
        size_bytes: size of the disk; a multiple of 1 MiB.
        table: `gpt` or `mbr`.
        firmware: `bios`, `uefi` or both; `uefi` needs `gpt`.
        features: mke2fs -O list that the distribution's own e2fsprogs understands.
        root_uuid, disk_uuid, hash_seed: UUIDs; from the image's identity, so that the same input gives the same disk.
        epoch: seconds since 1970 that stand for "now" in the filesystem.
        cmdline: kernel arguments without `root=`.
        grub: folder in the tree where the distribution's own tools expect grub.cfg.
        kernel, initrd: absolute paths in the tree, links that the distribution keeps current.
    """

    size_bytes: int
    table: str
    firmware: tuple[str, ...]
    features: str
    root_uuid: str
    disk_uuid: str
    hash_seed: str
    epoch: int
    cmdline: str
    grub: str = "/boot/grub"
    kernel: str = "/vmlinuz"
    initrd: str = "/initrd.img"

    def problems(self) -> list[str]:
        """What is wrong with the values, in words; empty when nothing is."""
        found = []
        if self.size_bytes % MIB:
            found.append(f"disk: size {self.size_bytes} is not a multiple of 1 MiB")
        if self.table not in ("gpt", "mbr"):
            found.append(f"disk: table {self.table!r} is neither gpt nor mbr")
        if not self.firmware or not set(self.firmware) <= {"bios", "uefi"}:
            found.append(f"disk: firmware {list(self.firmware)} must be bios, uefi or both")
        if "uefi" in self.firmware and self.table != "gpt":
            found.append("disk: firmware uefi needs table gpt")
        for name in ("grub", "kernel", "initrd"):
            if not getattr(self, name).startswith("/"):
                found.append(f"disk: {name} {getattr(self, name)!r} is not an absolute path")
        return found

    @property
    def entry(self) -> BootEntry:
        """What the boot loader starts on this disk."""
        return BootEntry(self.root_uuid, self.kernel, self.initrd, self.cmdline)

    def filesystem(self, part: Partition) -> Filesystem:
        """The root filesystem in its place."""
        return Filesystem(part.start * SECTOR, part.sectors * SECTOR, self.features, self.root_uuid, self.hash_seed,
                          self.epoch)


@dataclass(frozen=True)
class Partition:
    """One partition; `start` and `sectors` in sectors of 512 bytes, `kind` a GUID or an MBR type."""

    name: str
    kind: str
    start: int
    sectors: int
    guid: str


def layout(spec: DiskSpec) -> tuple[Partition, ...]:
    """The partitions in order of place; root is last, so that growpart can grow it.

    Raises:
        InputError: the values of the spec contradict each other, or nothing is left for the root filesystem.
    """
    found = spec.problems()
    if found:
        raise InputError(found)
    wanted: list[tuple[str, str, int]] = []
    if spec.table == "gpt":
        if "bios" in spec.firmware:
            wanted.append(("bios", BIOS_TYPE, ALIGN))
        if "uefi" in spec.firmware:
            wanted.append(("esp", ESP_TYPE, ESP_SECTORS))
    parts, start = [], ALIGN
    for name, kind, sectors in wanted:
        parts.append(Partition(name, kind, start, sectors, part_guid(spec, name)))
        start += sectors
    end = spec.size_bytes // SECTOR - (TAIL_SECTORS if spec.table == "gpt" else 0)
    if end - start < 16 * ALIGN:
        left = max(end - start, 0) * SECTOR
        raise InputError([f"disk: {spec.size_bytes} bytes leave {left} for the root filesystem"])
    kind = LINUX_TYPE if spec.table == "gpt" else "83"
    parts.append(Partition("root", kind, start, end - start, part_guid(spec, "root")))
    return tuple(parts)


def part_guid(spec: DiskSpec, name: str) -> str:
    """The partition's own GUID, derived from the disk's."""
    return str(uuid.uuid5(uuid.UUID(spec.disk_uuid), name)).upper()


def sfdisk_script(spec: DiskSpec) -> str:
    """What sfdisk reads on its standard input."""
    if spec.table == "gpt":
        lines = ["label: gpt", f"label-id: {spec.disk_uuid.upper()}"]
    else:
        lines = ["label: dos", f"label-id: 0x{uuid.UUID(spec.disk_uuid).hex[:8]}"]
    lines.append("unit: sectors")
    for part in layout(spec):
        words = [f"start={part.start}", f"size={part.sectors}", f"type={part.kind}"]
        words += [f"uuid={part.guid}", f"name={part.name}"] if spec.table == "gpt" else ["bootable"]
        lines.append(", ".join(words))
    return "\n".join(lines) + "\n"


def fstab(spec: DiskSpec) -> str:
    """The text of /etc/fstab."""
    return f"UUID={spec.root_uuid} / ext4 defaults,errors=remount-ro 0 1\n"


def assemble(tree: Path, spec: DiskSpec, target: Path, *, report: Callable[[str], None]) -> None:
    """Write a bootable raw disk with the content of `tree` to `target`; the file is sparse.

    Args:
        tree: root tree; only read.
        target: written under a temporary name beside it and renamed when whole.
        report: gets one line a stage.

    Raises:
        InputError: the spec is contradictory.
        StepError: the tree has no kernel, a tool failed, or the disk of the host is full.
    """
    parts = {part.name: part for part in layout(spec)}
    for path in (spec.kernel, spec.initrd):
        find_in_tree(tree, path)
    scratches = tempfile.TemporaryDirectory(prefix=".mailimg-disk-", dir=target.parent)
    with whole_or_absent(target) as raw, scratches as name:
        scratch = Path(name)
        with raw.open("wb") as file:
            file.truncate(spec.size_bytes)
        process.run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", raw], what="write the partition table",
                    stdin=sfdisk_script(spec).encode(), timeout=TIMEOUT)
        started = time.monotonic()
        files = {f"{spec.grub[1:]}/grub.cfg": grub_config(spec.entry), "etc/fstab": fstab(spec)}
        make_filesystem(tree, files, spec.filesystem(parts["root"]), raw, scratch)
        report(f"root filesystem: {time.monotonic() - started:.1f} s")
        if "bios" in spec.firmware:
            core = scratch / "core.img"
            make_image("i386-pc", spec.root_uuid, spec.grub, core, scratch)
            # MBR disks have no partition for core.img: it stands in the gap between the table and the first MiB.
            lba, room = (parts["bios"].start, parts["bios"].sectors) if spec.table == "gpt" else (1, ALIGN - 1)
            install_bios(raw, core, lba, room)
            report("boot loader for BIOS")
        if "uefi" in spec.firmware:
            esp = parts["esp"]
            volume = uuid.UUID(esp.guid).hex[:8]
            install_uefi(raw, spec.root_uuid, spec.grub, esp.start, esp.sectors, volume, spec.epoch, scratch)
            report("boot loader for UEFI")


def convert(
    raw: Path, target: Path, *, form: str = "qcow2", compress: str = "zlib", threads: int | None = None
) -> None:
    """Turn a raw disk into what is shipped.

    Args:
        form: `qcow2` or `raw`.
        compress: `zlib` (every QEMU reads it), `zstd` (QEMU from 5.1 on) or `none`; raw takes only `none`.
        threads: that compress; the default is all cores that this process may use. They decide no byte.

    Raises:
        InputError: the combination does not exist.
        StepError: qemu-img failed, the host's disk is full, or the check of the result found something.
    """
    if (form, compress) not in {("raw", "none"), ("qcow2", "none"), ("qcow2", "zlib"), ("qcow2", "zstd")}:
        raise InputError([f"image: format {form} with compression {compress} does not exist"])
    threads = min(16, threads or len(os.sched_getaffinity(0)))
    with whole_or_absent(target) as part:
        if compress == "zlib":
            qcow2.write(raw, part, threads=threads)
        else:
            options = ["-o", "compat=1.1,lazy_refcounts=off"] if form == "qcow2" else []
            options += ["-c", "-o", "compression_type=zstd"] if compress == "zstd" else []
            process.run(["qemu-img", "convert", "-f", "raw", "-O", form, "-m", str(threads), *options, raw, part],
                        what="write the image", timeout=TIMEOUT)
        if form == "qcow2":
            process.run(["qemu-img", "check", "-q", "-f", "qcow2", part], what="check the image", timeout=TIMEOUT)


@contextmanager
def whole_or_absent(target: Path) -> Iterator[Path]:
    """A temporary name beside `target` that becomes `target` at the end of the block, or vanishes."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(target)
    except StepError as error:
        if any("No space left on device" in line for line in error.tail):
            raise StepError(f"{error.message}: no space left in {target.parent}", NO_ROOM_HINT, error.tail) from error
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StepError(f"write {target}: no space left in {target.parent}", NO_ROOM_HINT) from error
        hint = "Look at the space and the rights of its directory."
        raise StepError(f"write {target}: {error.strerror}", hint) from error
    finally:
        part.unlink(missing_ok=True)


def find_in_tree(tree: Path, path: str) -> Path:
    """The file that `path` names inside `tree`; links are followed as the booted system would, not out of the tree.

    Raises:
        StepError: there is no such file.
    """
    current, todo = tree, [part for part in Path(path).parts if part != "/"]
    for _ in range(64):
        if not todo:
            break
        name, *todo = todo
        if name == "..":
            current = current.parent if current != tree else tree
            continue
        step = current / name
        if step.is_symlink():
            goal = step.readlink()
            if goal.is_absolute():
                current = tree
            todo = [part for part in goal.parts if part != "/"] + todo
        else:
            current = step
    if todo or not current.is_file():
        raise StepError(f"{path}: not a file in {tree}", "The distribution's element must leave this kernel link.")
    return current
