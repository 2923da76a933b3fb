"""The data volume: found by its serial, formatted if truly blank and never otherwise, mounted, grown when it grew.

A volume is blank when blkid knows nothing on it and its first and last MiB are zeros. Before formatting, a mark is
written close to its end, and wiped when the filesystem is whole, before the first mount: a run that was cut off in
between finds the mark and begins again, because nothing can have been stored there. Without mark or label nothing that
is not blank is ever written to.
"""

from typing import Any, Dict, Optional, Tuple

from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import Volume
from mailimg_firstboot.work import Work

MIB = 1 << 20
LABEL = "mailimg-volume"
MARK = b"mailimg-firstboot is formatting this volume; nothing was ever stored here\n"

# Where the mark stands: a MiB before the end, out of reach of mkfs, which zeroes the last 64 KiB.
MARK_OFFSET = MIB

# A filesystem may leave a part of a block group (128 MiB) at the end unused; Cinder grows volumes by GiB.
SLACK = 128 * MIB

# What follows from what is on a volume.
BLANK, BEGUN, OURS = "blank", "begun", "ours"


def check(host: Host, work: Work) -> Optional[str]:
    """Look for the volume; compare mount, owner and size."""
    goal = work.role.volume
    if goal is None:
        return None
    serial = work.site["volume"]["serial"]
    link, device = find(host.disks.by_id(), serial)
    if not device:
        return "no disk with the serial {} is attached".format(serial)
    there = mounted(host.read("/proc/self/mounts") or b"", goal.mount)
    if not there:
        return "{} is not mounted at {}".format(device, goal.mount)
    if there != device:
        return "{} is mounted at {}, not {}".format(there, goal.mount, device)
    found = []
    if host.read(unit_file(goal)) != unit_content(goal, link):
        found.append("{} is not as it must be".format(unit_file(goal)))
    state = host.state(goal.mount)
    if state is None or (state.uid, state.gid, state.mode) != (goal.owner, goal.group, goal.mode):
        found.append("{} does not belong to {}:{} with mode {:04o}".format(
            goal.mount, goal.owner, goal.group, goal.mode))
    used, whole = filesystem_size(host.disks.read(device, 0, MIB)), host.disks.size(device)
    if whole - used >= SLACK:
        found.append("the filesystem has {} of the volume's {} MiB".format(used // MIB, whole // MIB))
    return "; ".join(found) or None


def apply(host: Host, work: Work) -> None:
    """Format what is blank, mount, give it to its owner, grow.

    Raises:
        TransientError: the volume is not attached (yet).
        StepError: it holds something that is not ours, or something else is mounted in its place.
    """
    goal = work.role.volume
    if goal is None:
        return
    serial = work.site["volume"]["serial"]
    known = host.disks.by_id()
    link, device = find(known, serial)
    if not device:
        raise TransientError("no disk with the serial {} is attached; there are: {}".format(
            serial, ", ".join(sorted(known)) or "none"), "Attach the volume, or correct volume.serial.")
    there = mounted(host.read("/proc/self/mounts") or b"", goal.mount)
    if there and there != device:
        raise StepError("mount {} at {}: {} is mounted there".format(device, goal.mount, there),
                        "Unmount it, then run `mailimg-firstboot apply`.")
    if not there:
        prepare(host, device, serial)
    content = unit_content(goal, link)
    if host.read(unit_file(goal)) != content:
        host.write(unit_file(goal), content)
        host.systemd.reread()
    if not there:
        host.systemd.start(unit(goal))
        if mounted(host.read("/proc/self/mounts") or b"", goal.mount) != device:
            raise StepError("mount {} at {}: systemd calls {} started, but it is not mounted".format(
                device, goal.mount, unit(goal)), "See `journalctl -u {}`.".format(unit(goal)))
    state = host.state(goal.mount)
    if state is None or (state.uid, state.gid, state.mode) != (goal.owner, goal.group, goal.mode):
        host.give(goal.mount, goal.owner, goal.group, goal.mode)
    if host.disks.size(device) - filesystem_size(host.disks.read(device, 0, MIB)) >= SLACK:
        host.disks.grow(device)


def undo(host: Host, work: Work) -> None:
    """Unmount; the volume's content stays."""
    goal = work.role.volume
    if goal is None or host.read(unit_file(goal)) is None:
        return
    if host.systemd.state(unit(goal)).active:
        host.systemd.stop(unit(goal))
    host.remove(unit_file(goal))
    host.systemd.reread()


def prepare(host: Host, device: str, serial: str) -> None:
    """Make sure that there is a filesystem of ours on the device, which is not mounted."""
    size = host.disks.size(device)
    tail = host.disks.read(device, max(0, size - MIB), MIB)
    content = judge(host.disks.probe(device), host.disks.read(device, 0, MIB), tail)
    if content not in (BLANK, BEGUN, OURS):
        raise StepError("volume {} ({}) is not blank and not ours: {}".format(serial, device, content), (
            "It was left as it is. If its ext4 filesystem is the one to export, label it: `e2label {0} {1}`. If its "
            "content may be lost, wipe it: `wipefs -a {0}`, and zero its first and last MiB."
        ).format(device, LABEL))
    mark = size - MARK_OFFSET
    if content == BLANK:
        host.disks.write(device, mark, MARK)
    if content != OURS:
        host.disks.format(device, LABEL)
        host.disks.write(device, mark, bytes(len(MARK)))


def judge(known: Dict[str, str], first: bytes, last: bytes) -> str:
    """What a volume is: `BLANK`, `BEGUN` (only ever marked and half formatted), `OURS`, or other content in words.

    Args:
        known: what blkid found.
        first: its first MiB.
        last: its last MiB.
    """
    if last.startswith(MARK):
        return BEGUN
    if known.get("TYPE") == "ext4" and known.get("LABEL") == LABEL:
        return OURS
    if known:
        kind = known.get("TYPE") or "partition table {}".format(known.get("PTTYPE", "of an unknown kind"))
        return "{}{}".format(kind, ", labelled {}".format(known["LABEL"]) if "LABEL" in known else "")
    if len(first) < MIB or len(last) < MIB:
        return "it is smaller than 1 MiB"
    if any(first) or any(last):
        return "no filesystem that is known here, but its first or last MiB is not empty"
    return BLANK


def find(known: Dict[str, str], serial: str) -> Tuple[str, str]:
    """Link and path of the disk with a serial, or two empty strings.

    A virtio disk shows the first 20 characters of its serial, a SCSI disk stands under maker, model and serial.

    Raises:
        StepError: several disks have it.
    """
    found: Dict[str, str] = {}
    for name in sorted(known):
        rest = name.partition("-")[2]
        if rest in (serial, serial[:20]) or rest.endswith("_" + serial):
            found.setdefault(known[name], name)
    if len(found) > 1:
        raise StepError("several disks have the serial {}: {}".format(serial, ", ".join(sorted(found))),
                        "Give volume.serial in full.")
    for device, name in found.items():
        return "/dev/disk/by-id/" + name, device
    return "", ""


def mounted(mounts: bytes, place: str) -> str:
    """What is mounted at a place, by /proc/self/mounts; of several the last, which covers the others."""
    rows = [line.split() for line in mounts.decode("utf-8", "replace").splitlines()]
    return ([row[0] for row in rows if len(row) > 1 and row[1] == place] or [""])[-1]


def filesystem_size(first: bytes) -> int:
    """Size in bytes of the ext4 filesystem whose first MiB this is, by its superblock; 0 when it is none."""
    block = first[1024:2048]

    def number(offset: int) -> int:
        return int.from_bytes(block[offset:offset + 4], "little")

    if block[56:58] != b"\x53\xef":
        return 0
    # s_blocks_count_hi counts only with the feature 64bit (0x80 of the incompatible ones).
    high = number(0x150) if number(0x60) & 0x80 else 0
    return (high << 32 | number(4)) * (1024 << number(24))


def unit(goal: Volume) -> str:
    """The mount unit's name; systemd wants that of the place."""
    return goal.mount.strip("/") + ".mount"


def unit_file(goal: Volume) -> str:
    """Where the mount unit stands."""
    return "/etc/systemd/system/" + unit(goal)


def unit_content(goal: Volume, link: str) -> bytes:
    """The mount unit; not enabled: the agent looks at the volume first, at every boot.

    Of systemd and not of the agent's own, whose mounts nobody else would see.
    """
    check_unit = "systemd-fsck@{}.service".format(escape(link))
    values: Dict[str, Any] = {"link": link, "place": goal.mount, "check": check_unit}
    return UNIT.format(**values).encode("ascii")


UNIT = """\
# Written by mailimg-firstboot.
[Unit]
Description=Data volume
Requires={check}
After={check}

[Mount]
What={link}
Where={place}
Type=ext4
Options=noatime,nosuid,nodev,noexec
"""


def escape(path: str) -> str:
    """A path as a part of a unit's name, as systemd-escape --path does it."""
    return "".join(
        "-" if one == "/" else one if one.isalnum() or one in ":_." else "\\x{:02x}".format(ord(one))
        for one in path.strip("/"))
