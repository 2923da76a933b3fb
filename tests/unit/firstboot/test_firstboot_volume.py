"""What may be done to a volume: found by serial, formatted only if truly blank, never otherwise."""

from pathlib import Path
from typing import Dict

import pytest
from firstboot_machine import SITE, FakeHost, machine, with_keys, work
from firstboot_store import DISK, DISK_SIZE, SERIAL, STORED_KEYS, superblock

from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.steps import volume
from mailimg_firstboot.work import Work

MIB = 1 << 20
ZEROS = bytes(MIB)
STORED = with_keys(SITE, **STORED_KEYS)


def at(offset: int, what: bytes = b"x") -> bytes:
    """A MiB of zeros with something in it."""
    return ZEROS[:offset] + what + ZEROS[offset + len(what):]


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return machine(tmp_path, store=True)


@pytest.fixture
def goal(host: FakeHost) -> Work:
    return work(host, STORED)


def content(host: FakeHost) -> bytes:
    return host.disks.read(DISK, 0, DISK_SIZE * 2)


@pytest.mark.parametrize(("known", "first", "last", "wanted"), [
    ({}, ZEROS, ZEROS, volume.BLANK),
    ({"TYPE": "ext4", "LABEL": volume.LABEL}, at(1080), ZEROS, volume.OURS),
    ({}, ZEROS, at(0, volume.MARK), volume.BEGUN),
    ({"TYPE": "ext4", "LABEL": volume.LABEL}, at(1080), at(0, volume.MARK), volume.BEGUN),
    ({"TYPE": "ext4"}, at(1080), ZEROS, "ext4"),
    ({"TYPE": "ext4", "LABEL": "home"}, at(1080), ZEROS, "ext4, labelled home"),
    ({"TYPE": "xfs", "LABEL": volume.LABEL}, at(0), ZEROS, "xfs, labelled mailimg-volume"),
    ({"PTTYPE": "gpt"}, at(512), ZEROS, "partition table gpt"),
    ({"TYPE": "LVM2_member"}, at(512), ZEROS, "LVM2_member"),
    ({}, at(MIB - 1), ZEROS, "no filesystem that is known here, but its first or last MiB is not empty"),
    ({}, ZEROS, at(MIB - 1), "no filesystem that is known here, but its first or last MiB is not empty"),
    ({}, ZEROS, at(1, volume.MARK), "no filesystem that is known here, but its first or last MiB is not empty"),
    ({}, bytes(512), bytes(512), "it is smaller than 1 MiB"),
])
def test_judge(known: Dict[str, str], first: bytes, last: bytes, wanted: str) -> None:
    assert volume.judge(known, first, last) == wanted


@pytest.mark.parametrize(("name", "found"), [
    (f"virtio-{SERIAL[:20]}", True),
    (f"virtio-{SERIAL}", True),
    (f"scsi-0QEMU_QEMU_HARDDISK_{SERIAL}", True),
    (f"ata-QEMU_HARDDISK_{SERIAL}", True),
    (f"virtio-{SERIAL[:20]}-part1", False),
    (f"virtio-{SERIAL[:19]}", False),
    (f"virtio-x{SERIAL[:20]}", False),
    ("virtio-7d8f4f0e-2c41-4f0e-8", False),
])
def test_find(name: str, found: bool) -> None:
    assert volume.find({name: "/dev/vdb", "virtio-other": "/dev/vdc"}, SERIAL) == (
        ("/dev/disk/by-id/" + name, "/dev/vdb") if found else ("", ""))


def test_two_names_of_one_disk_are_one_disk_and_two_disks_are_a_mistake() -> None:
    one, other = f"virtio-{SERIAL[:20]}", f"scsi-0QEMU_QEMU_HARDDISK_{SERIAL}"
    assert volume.find({one: "/dev/vdb", other: "/dev/vdb"}, SERIAL)[1] == "/dev/vdb"
    with pytest.raises(StepError, match=r"several disks have the serial 7d8f.*: /dev/vdb, /dev/vdc"):
        volume.find({one: "/dev/vdb", other: "/dev/vdc"}, SERIAL)


def test_a_blank_volume_is_formatted_once(host: FakeHost, goal: Work) -> None:
    assert volume.check(host, goal) == "/dev/vdb is not mounted at /NFSVOL"
    volume.apply(host, goal)
    assert [one for one in host.fuse.changes if DISK in one] == [
        "mark /dev/vdb", "format /dev/vdb", "finish /dev/vdb", "clear mark of /dev/vdb"]
    assert volume.check(host, goal) is None
    before = content(host)
    volume.undo(host, goal)
    volume.apply(host, goal)
    assert content(host) == before, "what is ours is mounted and not written to"


@pytest.mark.parametrize("what", [b"x", superblock(DISK_SIZE, "home"), superblock(DISK_SIZE, "")])
@pytest.mark.parametrize("where", [1024, DISK_SIZE - 1024])
def test_what_is_not_blank_is_left_as_it_is(host: FakeHost, goal: Work, what: bytes, where: int) -> None:
    host.disks.write(DISK, where, what)
    before, changes = content(host), len(host.fuse.changes)
    with pytest.raises(StepError, match=rf"volume {SERIAL} \(/dev/vdb\) is not blank and not ours: ") as caught:
        volume.apply(host, goal)
    assert content(host) == before
    assert len(host.fuse.changes) == changes
    assert "It was left as it is" in caught.value.hint
    assert "e2label /dev/vdb mailimg-volume" in caught.value.hint


def test_a_volume_that_is_attached_late_is_waited_for(host: FakeHost, goal: Work) -> None:
    link = next(host.path("/dev/disk/by-id").iterdir())
    place = link.with_name("virtio-somebody-else")
    link.rename(place)
    assert volume.check(host, goal) == f"no disk with the serial {SERIAL} is attached"
    with pytest.raises(TransientError, match=f"no disk with the serial {SERIAL} is attached; there are: virtio-some"):
        volume.apply(host, goal)
    place.rename(link)
    volume.apply(host, goal)
    assert volume.check(host, goal) is None


def test_something_else_in_its_place_is_not_covered(host: FakeHost, goal: Work) -> None:
    host.path("/proc/self/mounts").write_text("/dev/vdz /NFSVOL xfs rw 0 0\n")
    assert volume.check(host, goal) == "/dev/vdz is mounted at /NFSVOL, not /dev/vdb"
    with pytest.raises(StepError, match="/dev/vdz is mounted there"):
        volume.apply(host, goal)


def test_a_mount_that_systemd_only_calls_started(host: FakeHost, goal: Work) -> None:
    host.systemd.refuse.add("NFSVOL.mount")
    with pytest.raises(StepError, match=r"systemd calls NFSVOL\.mount started, but it is not mounted"):
        volume.apply(host, goal)


def test_it_grows_with_its_disk(host: FakeHost, goal: Work) -> None:
    volume.apply(host, goal)
    with host.path(DISK).open("r+b") as stream:
        stream.truncate(DISK_SIZE + volume.SLACK)
    assert volume.check(host, goal) == "the filesystem has 4 of the volume's 132 MiB"
    volume.apply(host, goal)
    assert host.fuse.changes[-1] == "grow /dev/vdb"
    assert volume.check(host, goal) is None


def test_filesystem_size() -> None:
    assert volume.filesystem_size(bytes(1024) + superblock(20 << 40, "")) == 20 << 40, "beyond 32 bits of blocks"
    assert volume.filesystem_size(ZEROS) == 0
    assert volume.filesystem_size(b"") == 0


def test_the_mount_unit(goal: Work) -> None:
    assert goal.role.volume is not None
    text = volume.unit_content(goal.role.volume, "/dev/disk/by-id/virtio-7d8f4f0e-2c41").decode()
    assert "What=/dev/disk/by-id/virtio-7d8f4f0e-2c41\nWhere=/NFSVOL\nType=ext4\n" in text
    assert r"Requires=systemd-fsck@dev-disk-by\x2did-virtio\x2d7d8f4f0e\x2d2c41.service" in text


def test_mounted_takes_the_last() -> None:
    table = b"/dev/vda1 / ext4 rw 0 0\n/dev/vdb /NFSVOL ext4 rw 0 0\n/dev/vdc /NFSVOL ext4 rw 0 0\n"
    assert volume.mounted(table, "/NFSVOL") == "/dev/vdc"
    assert volume.mounted(table, "/NFS") == ""
    assert volume.mounted(b"", "/") == ""
