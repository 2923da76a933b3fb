"""The pure parts of the disk stage: arithmetic, texts, bytes."""

from __future__ import annotations

import dataclasses
import itertools
import struct
from pathlib import Path

import pytest

from mailimg import bootloader, disk
from mailimg.errors import InputError, StepError

ROOT = "11111111-2222-4333-8444-555555555555"
SPEC = disk.DiskSpec(
    size_bytes=4096 * disk.MIB,
    table="gpt",
    firmware=("bios", "uefi"),
    features="^orphan_file",
    root_uuid=ROOT,
    disk_uuid="21111111-2222-4333-8444-555555555555",
    hash_seed="31111111-2222-4333-8444-555555555555",
    epoch=1700000000,
    cmdline="console=ttyS0",
)
MBR = dataclasses.replace(SPEC, table="mbr", firmware=("bios",))


def core_image(sectors: int, start: int = 2) -> bytes:
    """As grub-mkimage writes it: the first sector's block list names the rest."""
    core = bytearray(b"\xee" * (sectors * 512 - 100))
    struct.pack_into("<QHH", core, 500, start, sectors - 1, 0x820)
    return bytes(core)


@pytest.mark.parametrize("firmware", [("bios",), ("uefi",), ("bios", "uefi")])
def test_gpt_partitions_touch_are_aligned_and_root_is_last(firmware: tuple[str, ...]) -> None:
    parts = disk.layout(dataclasses.replace(SPEC, firmware=firmware))
    assert [part.name for part in parts] == [{"bios": "bios", "uefi": "esp"}[word] for word in firmware] + ["root"]
    assert parts[0].start == 2048
    for part, after in itertools.pairwise(parts):
        assert part.start + part.sectors == after.start
    assert all(part.start % 2048 == 0 and part.sectors % 2048 == 0 for part in parts)
    # The backup table takes the last 33 sectors.
    assert parts[-1].start + parts[-1].sectors <= SPEC.size_bytes // 512 - 33


def test_mbr_root_takes_the_whole_disk_behind_the_gap() -> None:
    (root,) = disk.layout(MBR)
    assert (root.start, root.start + root.sectors) == (2048, MBR.size_bytes // 512)


def test_all_problems_of_a_spec_are_told_at_once() -> None:
    wrong = dataclasses.replace(SPEC, size_bytes=1000, table="mbr", kernel="vmlinuz")
    with pytest.raises(InputError) as caught:
        disk.layout(wrong)
    assert caught.value.problems == (
        "disk: size 1000 is not a multiple of 1 MiB",
        "disk: firmware uefi needs table gpt",
        "disk: kernel 'vmlinuz' is not an absolute path",
    )


def test_a_disk_without_room_for_root_is_refused() -> None:
    with pytest.raises(InputError, match="leave 4194304 for the root filesystem"):
        disk.layout(dataclasses.replace(SPEC, size_bytes=39 * disk.MIB))


def test_sfdisk_scripts() -> None:
    assert disk.sfdisk_script(MBR) == (
        "label: dos\nlabel-id: 0x21111111\nunit: sectors\nstart=2048, size=8386560, type=83, bootable\n"
    )
    lines = disk.sfdisk_script(SPEC).splitlines()
    assert lines[:3] == ["label: gpt", f"label-id: {SPEC.disk_uuid.upper()}", "unit: sectors"]
    assert lines[3].startswith(f"start=2048, size=2048, type={disk.BIOS_TYPE}, uuid=")
    assert lines[5].endswith("name=root")


def test_the_same_identity_gives_the_same_partition_ids_and_another_gives_others() -> None:
    other = dataclasses.replace(SPEC, disk_uuid="91111111-2222-4333-8444-555555555555")
    assert disk.layout(SPEC) == disk.layout(dataclasses.replace(SPEC))
    assert {part.guid for part in disk.layout(SPEC)}.isdisjoint(part.guid for part in disk.layout(other))


def test_grub_starts_the_kernel_by_its_link_and_finds_root_by_uuid() -> None:
    text = bootloader.grub_config(SPEC.entry)
    assert f"search --no-floppy --fs-uuid --set=root {ROOT}\n" in text
    assert f"linux /vmlinuz root=UUID={ROOT} ro console=ttyS0\n" in text
    assert "initrd /initrd.img\n" in text
    assert text.count("{") == text.count("}")
    # A guest without a serial port must not lose its other console.
    assert "if serial --unit=0 --speed=115200; then\n  terminal_input console serial" in text


def test_fstab_mounts_root_by_uuid() -> None:
    assert disk.fstab(SPEC).split()[:3] == [f"UUID={ROOT}", "/", "ext4"]


def test_the_boot_sector_keeps_the_partition_table_and_points_at_core() -> None:
    code, table = b"\x01" * 512, b"\x02" * 510 + b"\x55\xaa"
    sector = bootloader.boot_sector(code, table, 0x123456789A)
    assert sector[0x5C:0x64] == (0x123456789A).to_bytes(8, "little")
    assert sector[0x66:0x68] == b"\x90\x90"
    assert sector[0x1B8:] == table[0x1B8:]
    untouched = set(range(0x1B8)) - set(range(0x5C, 0x64)) - {0x66, 0x67}
    assert all(sector[place] == 1 for place in untouched)


def test_the_boot_sector_takes_sectors_only() -> None:
    with pytest.raises(StepError, match="511 bytes of boot"):
        bootloader.boot_sector(b"\0" * 511, b"\0" * 512, 1)


@pytest.mark.parametrize("lba", [1, 2048])
def test_core_points_at_its_own_second_sector(lba: int) -> None:
    core = core_image(5)
    placed = bootloader.place_core(core, lba)
    assert struct.unpack_from("<QHH", placed, 500) == (lba + 1, 4, 0x820)
    assert placed[:500] == core[:500]
    assert placed[512:] == core[512:]


def test_a_core_that_is_laid_out_differently_is_refused() -> None:
    with pytest.raises(StepError, match="names 4 sectors at 3, expected 4 at 2"):
        bootloader.place_core(core_image(5, start=3), 2048)


def test_links_are_followed_inside_the_tree_only(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "boot").mkdir(parents=True)
    (tree / "boot/vmlinuz-6").write_text("kernel")
    (tree / "vmlinuz").symlink_to("boot/vmlinuz-6")
    (tree / "absolute").symlink_to("/boot/vmlinuz-6")
    (tree / "above").symlink_to("../../../boot/vmlinuz-6")
    for name in ("/vmlinuz", "/absolute", "/above"):
        assert disk.find_in_tree(tree, name) == tree / "boot/vmlinuz-6"


def test_a_missing_kernel_and_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for name in ("/vmlinuz", "/circle"):
        with pytest.raises(StepError, match=f"^{name}: not a file in "):
            disk.find_in_tree(tmp_path, name)


def test_whole_or_absent_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "image"
    target.write_text("old")
    full = StepError("write the image: failed", tail=["qemu-img: error: No space left on device"])


    def half() -> None:
        with disk.whole_or_absent(target) as part:
            part.write_text("half")
            raise full

    with pytest.raises(StepError, match="no space left in") as caught:
        half()
    assert caught.value.hint == "Free some space there, or name another directory."
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
    assert target.read_text() == "old"


def test_formats_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="format raw with compression zlib"):
        disk.convert(tmp_path / "raw", tmp_path / "image", form="raw", compress="zlib")
