"""GRUB on a disk image: what it reads, and the bytes that start it.

`grub-install` wants a block device and probes it; on a loop device it writes device names that do not boot. Here the
images are made by `grub-mkimage` with every module inside, find the root filesystem by UUID, and are put where the
firmware looks. The offsets are those of GRUB 2 (`include/grub/i386/pc/boot.h`) and have been the same since 1.97.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError

SECTOR = 512

# include/grub/i386/pc/boot.h
KERNEL_SECTOR = 0x5C  # GRUB_BOOT_MACHINE_KERNEL_SECTOR: 64 bit, where boot.img finds the first sector of core.img
DRIVE_CHECK = 0x66  # GRUB_BOOT_MACHINE_DRIVE_CHECK: a jump that grub-bios-setup turns into two NOPs on hard disks
DISK_SIGNATURE = 0x1B8  # GRUB_BOOT_MACHINE_WINDOWS_NT_MAGIC: from here on the sector belongs to the partition table
BLOCK_LIST = SECTOR - 12  # GRUB_BOOT_MACHINE_LIST_SIZE: 12; first entry: start (64 bit), sectors (16), segment (16)

MODULES = Path("/usr/lib/grub")
COMMON_MODULES = [
    "part_gpt", "part_msdos", "ext2", "search", "search_fs_uuid",  # find the root filesystem
    "normal", "configfile", "test", "true", "echo", "linux", "gzio", "all_video",  # read grub.cfg, start the kernel
    "serial", "terminal", "minicmd", "ls", "cat", "sleep", "halt", "reboot",  # help somebody at the console
]
PLATFORM_MODULES = {
    "i386-pc": ["biosdisk", "vga_text"],
    "x86_64-efi": ["fat", "efi_gop", "efi_uga"],
}


@dataclass(frozen=True)
class BootEntry:
    """What the boot loader starts.

    Args:
        root_uuid: UUID of the root filesystem.
        kernel, initrd: absolute paths inside the root filesystem; links that the distribution keeps current.
        cmdline: kernel arguments without `root=`.
    """

    root_uuid: str
    kernel: str
    initrd: str
    cmdline: str


def grub_config(entry: BootEntry, title: str = "mailimg") -> str:
    """The text of grub.cfg.

    The kernel is named by its link, not by its version: a kernel update inside the image moves the link and boots.
    """
    lines = [
        "# Written with the disk image. The kernel is started through its link, so an update needs no new file here.",
        "set timeout=1",
        "set default=0",
        "if serial --unit=0 --speed=115200; then",
        "  terminal_input console serial",
        "  terminal_output console serial",
        "fi",
        f"menuentry '{title}' {{",
        f"  search --no-floppy --fs-uuid --set=root {entry.root_uuid}",
        f"  linux {entry.kernel} root=UUID={entry.root_uuid} ro {entry.cmdline}",
        f"  initrd {entry.initrd}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def early_config(root_uuid: str, folder: str) -> str:
    """The script inside GRUB's own image: find the root filesystem wherever the firmware put the disk."""
    return f"search.fs_uuid {root_uuid} root\nset prefix=($root){folder}\n"


def make_image(platform: str, root_uuid: str, folder: str, target: Path, scratch: Path) -> None:
    """Write a GRUB image with all modules inside.

    Args:
        platform: `i386-pc` (core.img) or `x86_64-efi` (BOOTX64.EFI).
        folder: where grub.cfg lies in the root filesystem.
        scratch: an existing directory for the embedded script.

    Raises:
        StepError: the modules of the platform are not installed, or grub-mkimage failed.
    """
    modules = MODULES / platform
    if not modules.is_dir():
        package = {"i386-pc": "grub-pc-bin", "x86_64-efi": "grub-efi-amd64-bin"}[platform]
        raise StepError(f"make the boot loader: {modules} does not exist", f"Install the package {package}.")
    script = scratch / f"early-{platform}.cfg"
    script.write_text(early_config(root_uuid, folder))
    process.run(
        ["grub-mkimage", "-O", platform, "-d", modules, "-c", script, "-p", folder, "-o", target,
         *COMMON_MODULES, *PLATFORM_MODULES[platform]],
        what="make the boot loader", timeout=60,
    )


def boot_sector(boot_img: bytes, table_sector: bytes, core_lba: int) -> bytes:
    """The first sector of the disk: GRUB's boot code in front of the partition table that is already there.

    Args:
        boot_img: GRUB's boot.img, 512 bytes.
        table_sector: the first sector as the partitioning tool left it; its bytes from 0x1b8 on are kept.
        core_lba: sector at which core.img starts.

    Raises:
        StepError: one of the two is not a sector.
    """
    if len(boot_img) != SECTOR or len(table_sector) != SECTOR:
        raise StepError(f"make the boot sector: {len(boot_img)} bytes of boot.img and {len(table_sector)} of the disk"
                        f" instead of {SECTOR}")
    sector = bytearray(boot_img)
    struct.pack_into("<Q", sector, KERNEL_SECTOR, core_lba)
    # BIOSes that hand over a wrong drive number exist; grub-bios-setup enables this check on every hard disk.
    sector[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    sector[DISK_SIGNATURE:] = table_sector[DISK_SIGNATURE:]
    return bytes(sector)


def place_core(core: bytes, lba: int) -> bytes:
    """core.img with the block list of its first sector pointing at the rest of itself.

    The first sector (diskboot.img) is loaded by the boot sector and loads what its block list names; grub-mkimage
    has filled in the number of sectors and leaves the start at 2, right for no place but sector 1.

    Args:
        core: what grub-mkimage wrote.
        lba: sector at which it will stand.

    Raises:
        StepError: the block list does not describe this core.img, so this GRUB is not laid out as we know it.
    """
    rest = (len(core) - 1) // SECTOR
    start, sectors, segment = struct.unpack_from("<QHH", core, BLOCK_LIST)
    if (start, sectors) != (2, rest):
        raise StepError(f"place core.img: its block list names {sectors} sectors at {start}, expected {rest} at 2",
                        "This version of GRUB is laid out differently.")
    placed = bytearray(core)
    struct.pack_into("<QHH", placed, BLOCK_LIST, lba + 1, sectors, segment)
    return bytes(placed)


def install_bios(disk: Path, core: Path, lba: int, room: int) -> None:
    """Write boot.img and core.img into a partitioned raw disk.

    Args:
        disk: raw image with its partition table.
        core: core.img as made by `make_image`.
        lba: first sector of the place for core.img (the BIOS boot partition, or sector 1 of the gap).
        room: sectors there are.

    Raises:
        StepError: core.img does not fit, or GRUB is laid out differently.
    """
    body = place_core(core.read_bytes(), lba)
    if len(body) > room * SECTOR:
        raise StepError(f"place core.img: {len(body)} bytes do not fit into {room * SECTOR}")
    boot_img = (MODULES / "i386-pc" / "boot.img").read_bytes()
    with disk.open("r+b") as file:
        table_sector = file.read(SECTOR)
        file.seek(lba * SECTOR)
        file.write(body)
        file.seek(0)
        file.write(boot_sector(boot_img, table_sector, lba))


def install_uefi(
    disk: Path, root_uuid: str, folder: str, start: int, sectors: int, volume: str, epoch: int, scratch: Path
) -> None:
    """Make the EFI system partition with GRUB at the path that firmware looks for on removable media.

    Args:
        disk: raw image with its partition table.
        folder: where grub.cfg lies in the root filesystem.
        start, sectors: place of the partition.
        volume: FAT volume id, 8 hex digits.
        epoch: seconds since 1970 for the files' times.
        scratch: an existing directory.

    Raises:
        StepError: GRUB's modules, mtools or dosfstools are missing or failed.
    """
    image = scratch / "BOOTX64.EFI"
    make_image("x86_64-efi", root_uuid, folder, image, scratch)
    env = {"SOURCE_DATE_EPOCH": str(epoch)}
    what = "make the EFI system partition"
    process.run(["mkfs.vfat", "-F", "16", "-n", "ESP", "-i", volume, "--invariant", "--offset", str(start), disk,
                 str(sectors // 2)], what=what, env=env, timeout=60)
    drive = f"{disk}@@{start * SECTOR}"
    process.run(["mmd", "-i", drive, "::EFI", "::EFI/BOOT"], what=what, env=env, timeout=60)
    process.run(["mcopy", "-i", drive, image, "::EFI/BOOT/BOOTX64.EFI"], what=what, env=env, timeout=60)
