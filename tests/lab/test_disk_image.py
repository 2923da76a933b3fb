"""The disk stage with the real tools: what they made is read back by other tools than those that made it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from mailimg import disk, process
from mailimg.errors import StepError

pytestmark = pytest.mark.lab

SPEC = disk.DiskSpec(
    size_bytes=256 * disk.MIB,
    table="gpt",
    firmware=("bios", "uefi"),
    features="^orphan_file,^metadata_csum_seed",
    root_uuid="11111111-2222-4333-8444-555555555555",
    disk_uuid="21111111-2222-4333-8444-555555555555",
    hash_seed="31111111-2222-4333-8444-555555555555",
    epoch=1700000000,
    cmdline="console=ttyS0",
)
MBR = dataclasses.replace(SPEC, table="mbr", firmware=("bios",))
# What e2fsprogs 1.42 of CentOS 7 understands, and what it may meet on a disk (facts of e2fsprogs v1.42.9, ext2fs.h).
EL7 = dataclasses.replace(MBR, features="^metadata_csum,^metadata_csum_seed,^64bit,^orphan_file")
EL7_KNOWS = {"has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "flex_bg", "sparse_super",
             "large_file", "huge_file", "uninit_bg", "dir_nlink", "extra_isize"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with what is easily lost: owners, modes, links, holes, capabilities."""
    tree = tmp_path / "tree"
    for name in ("boot", "etc", "usr/bin", "var/spool"):
        (tree / name).mkdir(parents=True)
    (tree / "boot/vmlinuz-6").write_bytes(os.urandom(100_000))
    (tree / "boot/initrd-6").write_bytes(os.urandom(100_000))
    (tree / "vmlinuz").symlink_to("boot/vmlinuz-6")
    (tree / "initrd.img").symlink_to("boot/initrd-6")
    (tree / "etc/fstab").write_text("the distribution's own\n")
    (tree / "etc/shadow").write_text("root:*:19000::::::\n")
    os.chown(tree / "etc/shadow", 0, 42)
    (tree / "etc/shadow").chmod(0o640)
    (tree / "usr/bin/tool").write_text("#!/bin/sh\n")
    (tree / "usr/bin/tool").chmod(0o4755)
    # cap_net_bind_service+ep, version 2
    os.setxattr(tree / "usr/bin/tool", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.chown(tree / "var/spool", 107, 108)
    (tree / "var/spool").chmod(0o2770)
    return tree


def built(tree: Path, spec: disk.DiskSpec, target: Path) -> str:
    """Assemble, and name the root filesystem as e2fsprogs does."""
    disk.assemble(tree, spec, target, report=lambda line: None)
    return f"{target}?offset={disk.layout(spec)[-1].start * 512}"


def debugfs(request: str, filesystem: str) -> str:
    return process.run(["debugfs", "-R", request, filesystem], what="ask debugfs", timeout=60).stdout


def loops(folder: Path) -> list[str]:
    """Loop devices on files of a folder."""
    return [path.name for path in Path("/sys/block").glob("loop*/loop/backing_file")
            if path.read_text().startswith(str(folder))]


@pytest.mark.parametrize("spec", [SPEC, MBR, EL7], ids=["gpt", "mbr", "el7"])
def test_the_filesystem_is_sound_and_keeps_what_the_tree_had(tree: Path, tmp_path: Path, spec: disk.DiskSpec) -> None:
    root = built(tree, spec, tmp_path / "disk.raw")
    process.run(["e2fsck", "-fn", root], what="check the filesystem", timeout=60)
    assert re.search(r"User: +0 +Group: +42 ", debugfs("stat /etc/shadow", root))
    assert "Mode:  0640" in debugfs("stat /etc/shadow", root)
    assert "Mode:  04755" in debugfs("stat /usr/bin/tool", root)
    assert "security.capability" in debugfs("ea_list /usr/bin/tool", root)
    assert re.search(r"User: +107 +Group: +108 ", debugfs("stat /var/spool", root))
    assert 'Fast link dest: "boot/vmlinuz-6"' in debugfs("stat /vmlinuz", root)
    assert debugfs("cat /etc/fstab", root) == disk.fstab(spec)
    assert "root=UUID=11111111-2222-4333-8444-555555555555" in debugfs("cat /boot/grub/grub.cfg", root)
    assert loops(tmp_path) == []
    assert (tree / "etc/fstab").read_text() == "the distribution's own\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "tree"]


def test_the_tables_are_what_sfdisk_was_told(tree: Path, tmp_path: Path) -> None:
    for spec, label in ((SPEC, "gpt"), (MBR, "dos")):
        target = tmp_path / label
        built(tree, spec, target)
        process.run(["sfdisk", "--verify", target], what="verify the table", timeout=60)
        table = json.loads(process.run(["sfdisk", "-J", target], what="read", timeout=60).stdout)["partitiontable"]
        assert table["label"] == label
        assert [(part["start"], part["size"]) for part in table["partitions"]] == [
            (part.start, part.sectors) for part in disk.layout(spec)]
    assert [part["name"] for part in json.loads(process.run(
        ["sfdisk", "-J", tmp_path / "gpt"], what="read", timeout=60).stdout)["partitiontable"]["partitions"]] == [
        "bios", "esp", "root"]


def test_a_disk_for_el7_has_no_feature_that_its_tools_refuse(tree: Path, tmp_path: Path) -> None:
    told = process.run(["dumpe2fs", "-h", built(tree, EL7, tmp_path / "disk.raw")], what="read", timeout=60).stdout
    features = re.search(r"^Filesystem features: +(.*)$", told, re.MULTILINE)
    assert features is not None
    assert set(features[1].split()) <= EL7_KNOWS


def test_grub_itself_finds_its_image_on_the_efi_partition(tree: Path, tmp_path: Path) -> None:
    built(tree, SPEC, tmp_path / "disk.raw")
    drive = f"{tmp_path / 'disk.raw'}@@{disk.layout(SPEC)[1].start * 512}"
    process.run(["mcopy", "-i", drive, "::EFI/BOOT/BOOTX64.EFI", tmp_path / "out.efi"], what="read the ESP", timeout=60)
    assert (tmp_path / "out.efi").read_bytes()[:2] == b"MZ"


def test_the_same_input_gives_the_same_bytes_and_another_identity_does_not(tree: Path, tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("one", "two", "other")]
    built(tree, SPEC, names[0])
    built(tree, SPEC, names[1])
    built(tree, dataclasses.replace(SPEC, hash_seed="91111111-2222-4333-8444-555555555555"), names[2])
    one, two, other = (path.read_bytes() for path in names)
    assert one == two
    assert one != other


def test_a_copy_of_the_tree_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    """Another host lists the same directory in another order."""
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy, symlinks=True)
    for folder, names in ((tree / "var", ["a", "b", "c"]), (copy / "var", ["c", "a", "b"])):
        for name in names:
            (folder / name).write_text(name)
            os.utime(folder / name, (SPEC.epoch, SPEC.epoch))
    for path in (tree, *tree.rglob("*")):
        twin, owner = copy / path.relative_to(tree), path.lstat()
        os.chown(twin, owner.st_uid, owner.st_gid, follow_symlinks=False)
        shutil.copystat(path, twin, follow_symlinks=False)
    built(tree, SPEC, tmp_path / "one.raw")
    built(copy, SPEC, tmp_path / "two.raw")
    assert (tmp_path / "one.raw").read_bytes() == (tmp_path / "two.raw").read_bytes()


def test_the_raw_disk_is_sparse(tree: Path, tmp_path: Path) -> None:
    built(tree, SPEC, tmp_path / "disk.raw")
    facts = (tmp_path / "disk.raw").stat()
    assert facts.st_size == SPEC.size_bytes
    assert facts.st_blocks * 512 < SPEC.size_bytes // 4


@pytest.mark.parametrize("compress", ["zlib", "zstd", "none"])
def test_a_converted_image_has_the_same_content(tree: Path, tmp_path: Path, compress: str) -> None:
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    built(tree, SPEC, raw)
    disk.convert(raw, image, compress=compress)
    process.run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image], what="compare", timeout=60)
    info = json.loads(process.run(["qemu-img", "info", "--output=json", image], what="read", timeout=60).stdout)
    assert info["format-specific"]["data"]["compat"] == "1.1"
    assert info["format-specific"]["data"]["compression-type"] == ("zstd" if compress == "zstd" else "zlib")


def test_a_tree_without_a_kernel_is_refused_before_anything_is_written(tree: Path, tmp_path: Path) -> None:
    (tree / "boot/vmlinuz-6").unlink()
    with pytest.raises(StepError, match=r"^/vmlinuz: not a file in "):
        built(tree, SPEC, tmp_path / "disk.raw")
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_a_tree_that_does_not_fit_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    (tree / "large").write_bytes(os.urandom(64 * disk.MIB))
    with pytest.raises(StepError, match="the tree does not fit into it"):
        built(tree, dataclasses.replace(MBR, size_bytes=48 * disk.MIB), tmp_path / "disk.raw")
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


FULL = """
import sys
from pathlib import Path
from mailimg import disk
from mailimg.errors import StepError
from mailimg.process import run
raw, full = Path(sys.argv[1]), Path(sys.argv[2])
run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", full], what="make a small filesystem")
try:
    disk.convert(raw, full / "disk.qcow2")
except StepError as error:
    print(error.message)
    print(sorted(path.name for path in full.iterdir()))
"""


def test_a_full_host_is_said_clearly_and_no_half_image_stays(tmp_path: Path) -> None:
    raw, full = tmp_path / "disk.raw", tmp_path / "full"
    raw.write_bytes(os.urandom(4 * disk.MIB))
    full.mkdir()
    argv = process.confine([sys.executable, "-c", FULL, str(raw), str(full)])
    message, left = process.run(argv, what="convert on a full filesystem", timeout=60).stdout.splitlines()
    assert message.endswith(f"no space left in {full}")
    assert left == "[]"
