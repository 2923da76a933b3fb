"""`mailimg diff` over real trees and real disks: both ways to read files tell the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailimg import disk, manifest, process
from mailimg.disktree import disk_files
from mailimg.errors import StepError
from mailimg.filetree import Entry, TreeFiles
from mailimg.identity import digest_file
from mailimg.store import Store

pytestmark = pytest.mark.lab

SPEC = disk.DiskSpec(
    size_bytes=64 * disk.MIB,
    table="gpt",
    firmware=("bios",),
    features="^orphan_file",
    root_uuid="11111111-2222-4333-8444-555555555555",
    disk_uuid="21111111-2222-4333-8444-555555555555",
    hash_seed="31111111-2222-4333-8444-555555555555",
    epoch=1700000000,
    cmdline="console=ttyS0",
)
NET_BIND = bytes.fromhex("0100000200040000000000000000000000000000")
LONG = "/very/long" * 12  # does not fit into an inode
# What the disk stage writes over the tree.
DISK_ONLY = {"/boot/grub", "/boot/grub/grub.cfg", "/etc/fstab"}


def make_tree(tree: Path) -> Path:
    """A tree with all kinds of names, rights and contents."""
    for name in ("boot", "etc/systemd/system/multi-user.target.wants", "usr/bin", "var/lib/dpkg/info", "many"):
        (tree / name).mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        (tree / name).write_bytes(os.urandom(5000))
    (tree / "usr/bin/tool").write_text("#!/bin/sh\n")
    (tree / "usr/bin/tool").chmod(0o4755)
    (tree / "usr/bin/server").write_text("#!/bin/sh\n")
    os.setxattr(tree / "usr/bin/server", "security.capability", NET_BIND)
    (tree / "etc/shadow").write_text("root:*:19000::::::\n")
    os.chown(tree / "etc/shadow", 0, 42)
    (tree / "etc/shadow").chmod(0o640)
    (tree / 'etc/a "quoted" näme').write_text("x" * 70_000)
    (tree / "etc/short").symlink_to("shadow")
    (tree / "etc/long").symlink_to(LONG)
    (tree / "etc/systemd/system/multi-user.target.wants/mail.service").symlink_to("/lib/systemd/system/mail.service")
    (tree / "etc/empty").touch()
    (tree / "var/lib/dpkg/info/mail.list").write_text("/.\n/usr/bin/server\n")
    os.mkfifo(tree / "var/pipe")
    for number in range(1200):
        (tree / f"many/{number}").write_text(f"{number:04}")
    return tree


def make_image(tree: Path, image: Path, packages: dict[str, str]) -> Path:
    """An image of a tree with as much of a manifest as the comparison reads; the store knows the tree by its name."""
    raw = image.with_suffix(".raw")
    disk.assemble(tree, SPEC, raw, report=lambda _line: None)
    disk.convert(raw, image)
    raw.unlink()
    manifest.write(image, {
        "schema": manifest.SCHEMA,
        "role": "mx",
        "distro": "debian-12",
        "identity": image.stem,
        "image": {"format": "qcow2", "sha256": digest_file(image), "bytes": image.stat().st_size,
                  "tree_bytes": 1, "virtual_bytes": SPEC.size_bytes},
        "layers": [{"name": "role", "identity": image.stem}],
        "contract": {"listeners": [25], "ports": []},
        "packages": [{"name": name, "version": version} for name, version in packages.items()],
    })
    return image


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    first = make_tree(tmp_path / "a")
    image = make_image(first, tmp_path / "a.qcow2", {"mail": "1"})
    second = tmp_path / "b"
    process.run(["cp", "-a", first, second], what="copy the tree")
    (second / "usr/bin/tool").chmod(0o755)
    os.removexattr(second / "usr/bin/server", "security.capability")
    (second / "usr/bin/server").write_text("#!/bin/sH\n")
    (second / "etc/empty").unlink()
    (second / "many/7").write_text("seven")
    (second / "many/8").write_text("eigh")
    (second / "etc/systemd/system/multi-user.target.wants/mail.service").unlink()
    (second / "etc/systemd/system/other.service").symlink_to("/dev/null")
    return image, make_image(second, tmp_path / "b.qcow2", {"mail": "2"})


def mailimg_diff(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    code = "from mailimg.cli import main; main()"
    command = [sys.executable, "-c", code, "diff", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def differs(images: tuple[Path, Path], store: Path) -> dict[str, Any]:
    answer = mailimg_diff(*images, "--store", store, "--json")
    assert answer.returncode == 1, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_a_disk_reads_like_the_tree_it_was_made_from(images: tuple[Path, Path], tmp_path: Path) -> None:
    expected = TreeFiles(tmp_path / "a").entries()
    with disk_files(images[0], "qcow2") as files:
        found = files.entries()
        assert {path: entry for path, entry in found.items() if path not in DISK_ONLY} == expected
        assert found["/etc/fstab"].kind == "file"
        wanted = sorted(path for path, entry in expected.items() if entry.kind == "file")
        for path, place in files.read(wanted):
            assert place.read_bytes() == Path(f"{tmp_path}/a{path}").read_bytes(), path
    assert expected["/usr/bin/server"].capabilities == "cap_net_bind_service=ep"
    assert expected["/etc/long"] == Entry("link", 0o777, 0, 0, target=LONG)


def test_the_same_is_told_from_disks_and_from_the_store(images: tuple[Path, Path], tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    from_disks = differs(images, nowhere)
    assert not nowhere.exists(), "a store was made"
    store = Store(tmp_path / "store")
    for name in ("a", "b"):
        store.put(name, tmp_path / name, {"name": "role"})
    assert from_disks == differs(images, store.root)

    assert from_disks["packages"]["changed"] == {"mail": ["1", "2"]}
    assert from_disks["files"]["changed"] == {
        "/many/7": ["size 4 -> 5"],
        "/many/8": ["content"],
        "/usr/bin/server": ["capabilities cap_net_bind_service=ep -> none", "content"],
        "/usr/bin/tool": ["mode 4755 -> 0755"],
    }
    assert list(from_disks["files"]["added"]) == ["/etc/systemd/system/other.service"]
    assert sorted(from_disks["files"]["removed"]) == [
        "/etc/empty", "/etc/systemd/system/multi-user.target.wants/mail.service",
    ]  # fmt: skip
    assert from_disks["files"]["packages"] == {"/usr/bin/server": "mail"}
    assert from_disks["privileged"]["removed"] == {
        "/usr/bin/server": "cap_net_bind_service=ep", "/usr/bin/tool": "setuid 0",
    }  # fmt: skip
    assert from_disks["units"]["removed"] == {"mail.service": "wanted by multi-user.target"}
    assert from_disks["units"]["added"] == {"other.service": "masked"}


def test_exit_status_and_words(images: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = images
    same = mailimg_diff(first, first, "--store", tmp_path / "none")
    assert (same.returncode, same.stdout) == (0, "no difference\n")
    told = mailimg_diff(first, manifest.manifest_path(second), "--store", tmp_path / "none")
    assert told.returncode == 1
    assert re.search(r"^-  /usr/bin/tool +setuid 0", told.stdout, re.MULTILINE)
    assert re.search(r"^~  mail +1 changed$", told.stdout, re.MULTILINE)
    kept = manifest.read(first)
    first.unlink()
    gone = mailimg_diff(first, first, "--store", tmp_path / "none")
    assert gone.returncode == 2
    assert "files, units and rights were not compared" in gone.stderr
    assert "is not there, and its tree is not in the store" in " ".join(gone.stderr.split())
    first.write_bytes(b"no image")
    other = mailimg_diff(first, second, "--store", tmp_path / "none")
    assert other.returncode == 2
    assert "is not the file its manifest describes" in other.stderr
    manifest.write(first, {**kept, "image": {**kept["image"], "sha256": digest_file(first)}})
    broken = mailimg_diff(first, second, "--store", tmp_path / "none")
    assert broken.returncode == 2
    assert "unpack a.qcow2: " in broken.stderr


def test_disk_without_a_file_system(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(SPEC.size_bytes)
    process.run(["sfdisk", "--quiet", raw], what="write a table", stdin=disk.sfdisk_script(SPEC).encode())
    with disk_files(raw, "raw") as files, pytest.raises(StepError, match=r"^read the image: "):
        files.entries()
