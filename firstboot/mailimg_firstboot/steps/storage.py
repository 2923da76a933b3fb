"""Shared storage: an NFS export, mounted hard at a closed mount point, its hashed folders made once for all servers.

The mount is a unit of systemd, which the agent starts at every boot after it has asked the server; a boot therefore
waits here with a deadline, and never in mount(8). A mount of something else is replaced only if nothing uses it.
"""

from typing import Any, Dict, List, Optional

from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.mounts import Mount
from mailimg_firstboot.nfs import StaleError, Storage
from mailimg_firstboot.rolefile import MountPoint
from mailimg_firstboot.work import Work

# What every version gets. hard: a server that is away delays, and never loses a write. retry=0: the agent tries again,
# not mount(8). sec=sys: without it the client may look for Kerberos first. What belongs to mailboxes is never run.
COMMON = ["proto=tcp", "hard", "timeo=600", "sec=sys", "retry=0", "nosuid", "nodev", "noexec"]
# NFS 3 as the recipe has it; and nolock, because its locks need daemons that listen (element nfs-client): Dovecot locks
# with files there (dovecot.conf). NFS 4 has its locks in the protocol, and agrees on the size of blocks itself.
VERSION_3 = ["mountproto=tcp", "nordirplus", "rsize=32768", "wsize=32768", "nolock"]

# Of those, what the kernel's table must show of a mount; it shows sizes as the server granted them.
TABLE = {"3": {"hard": "", "proto": "tcp", "nordirplus": "", "nolock": ""}, "4": {"hard": "", "proto": "tcp"}}

# What mount.nfs says, in words of nfs-utils 1.3 and 2.6, and what it means.
DENIED = ("access denied", "Permission denied", "Operation not permitted")
ABSENT = ("No such file or directory",)
VERSION = ("Protocol not supported", "requested NFS version or transport protocol is not supported")


def check(host: Host, work: Work) -> Optional[str]:
    """Compare the mount with the site's; look at owner and folders, in a process that may be left waiting."""
    place = work.role.mount
    if place is None:
        return None
    goal = wanted(work, place)
    there = host.nfs.mounted(place.path)
    if there is None:
        return "nothing is mounted at {}; the site key `{}` names {}".format(place.path, place.site, goal.source)
    found = []
    if not host.nfs.contained():
        found = wrong(there, goal)
        if host.read(unit_file(place)) != unit_content(place, goal, work):
            found.append("{} is not as it must be".format(unit_file(place)))
    if not found:
        try:
            found = unfit(host.nfs.look(place.path, place.owner, place.group, place.folders), place)
        except TransientError as error:
            found = [error.message]
    return "; ".join(found) or None


def apply(host: Host, work: Work) -> None:
    """Mount, try, make the folders.

    Raises:
        TransientError: the server does not answer, refuses, or does not export it (yet); another server is at work.
        StepError: what no waiting mends.
    """
    place = work.role.mount
    if place is None:
        return
    goal = wanted(work, place)
    there = host.nfs.mounted(place.path)
    if host.nfs.contained():
        if there is None:
            raise StepError("nothing is mounted at {}".format(place.path),
                            "This is a container: whoever starts it mounts there what the site key `{}` names.".format(
                                place.site))
    else:
        if there is not None and (wrong(there, goal) or stale(host, place)):
            unmount(host, place, there)
            there = None
        if there is None:
            # Before the unit: a run that is cut off must not leave a place that can be written to.
            close(host, place)
            host.nfs.reach(goal)
        content = unit_content(place, goal, work)
        if host.read(unit_file(place)) != content:
            host.write(unit_file(place), content)
            host.systemd.reread()
        if there is None:
            mount(host, place, goal)
    fit(host, work, place)


def undo(host: Host, work: Work) -> None:
    """Unmount; the storage's content stays, and the mount point is closed."""
    place = work.role.mount
    if place is None or host.read(unit_file(place)) is None:
        return
    there = host.nfs.mounted(place.path)
    if there is not None:
        unmount(host, place, there)
    host.remove(unit_file(place))
    host.systemd.reread()


def left(host: Host, work: Work) -> Optional[str]:
    """Whether the agent's mount is still there, or the unit that makes it."""
    place = work.role.mount
    if place is None or host.read(unit_file(place)) is None:
        return None
    return "{} is mounted, or would be again".format(place.path)


def fit(host: Host, work: Work, place: MountPoint) -> None:
    """Make sure that mailboxes can be made on what is mounted."""
    found = host.nfs.look(place.path, place.owner, place.group, place.folders)
    owner = unfit({**found, "missing": 0}, place)
    if owner:
        raise StepError("; ".join(owner), "On the storage server: `chown {}:{}` the exported folder, and export it "
                        "with `rw`.".format(place.owner, place.group))
    # The table says `rw` of an export that can only be read.
    host.nfs.trial(place.path, place.owner, place.group, work.node.instance)
    if found["missing"]:
        host.nfs.prepare(place.path, place.owner, place.group, place.folders, work.node.instance)


def unfit(found: Dict[str, Any], place: MountPoint) -> List[str]:
    """What is wrong with a file system that was looked at."""
    words = []
    if (found["uid"], found["gid"]) != (place.owner, place.group):
        words.append("the root of what is mounted at {} belongs to {}:{}, not to {}:{}".format(
            place.path, found["uid"], found["gid"], place.owner, place.group))
    if found["read_only"]:
        words.append("{} is mounted read-only".format(place.path))
    if found["missing"] and not words:
        words.append("{} of {} folders are missing".format(found["missing"], place.folders))
    return words


def wrong(there: Mount, goal: Storage) -> List[str]:
    """How a mount differs from the one that is wanted."""
    if there.kind not in ("nfs", "nfs4") or there.source != goal.source:
        return ["{} ({}) is mounted at {}, not {}".format(there.source, there.kind, there.place, goal.source)]
    words = []
    if there.options.get("vers") != goal.version:
        words.append("{} is mounted by NFS {}, not {}".format(
            there.place, there.options.get("vers", "of an unknown version"), goal.version))
    missing = sorted(name for name, value in TABLE[goal.version[0]].items() if there.options.get(name) != value)
    if missing:
        words.append("{} is mounted without {}".format(there.place, ", ".join(missing)))
    return words


def stale(host: Host, place: MountPoint) -> bool:
    """Whether the server no longer knows what is mounted; one that does not answer may."""
    try:
        host.nfs.look(place.path, place.owner, place.group, 0)
    except StaleError:
        return True
    return False


def close(host: Host, place: MountPoint) -> None:
    """Nobody may write below a mount that is not there: the mount point is root's, with mode 0000."""
    state = host.state(place.path)
    if state is None:
        raise StepError("{} does not exist".format(place.path), "The image must bring the mount point.")
    if (state.uid, state.gid, state.mode) != (0, 0, 0):
        host.give(place.path, 0, 0, 0)


def mount(host: Host, place: MountPoint, goal: Storage) -> None:
    """Let systemd mount, and say clearly what went wrong."""
    end = host.nfs.journal_end(unit(place))
    try:
        host.systemd.start(unit(place))
    except StepError as error:
        said = host.nfs.said_since(unit(place), end)
        raise failure(host, goal, said or error.message) from error
    there = host.nfs.mounted(place.path)
    if there is None:
        raise StepError("mount {} at {}: systemd calls {} started, but it is not mounted".format(
            goal.source, place.path, unit(place)), "See `journalctl -u {}`.".format(unit(place)))
    if wrong(there, goal):
        raise StepError("mount {}: {}".format(goal.source, "; ".join(wrong(there, goal))), "Correct the site document.")


def failure(host: Host, goal: Storage, said: str) -> Exception:
    """The error for what mount.nfs said."""
    what = "mount {} by NFS {}".format(goal.source, goal.version)
    if any(word in said for word in VERSION):
        return StepError("{}: storage server {} does not speak this version".format(what, goal.server),
                         "Correct storage.version; CentOS 7 serves 3 and 4.1, not 4.2.")
    # A server that a stack starts along with this one exports nothing at first.
    if any(word in said for word in DENIED + ABSENT):
        exports = host.nfs.exports(goal.server)
        if any(word in said for word in ABSENT) or (exports is not None and goal.export not in exports):
            told = ", ".join(exports) or "nothing" if exports is not None else "something else"
            return TransientError("{}: {} exports {}".format(what, goal.server, told), "Correct storage.export.")
        return TransientError("{}: {} exports it, but not to this instance".format(what, goal.server),
                              "The address of this instance must be in the server's `networks`.")
    return TransientError("{}: {}".format(what, said))


def unmount(host: Host, place: MountPoint, there: Mount) -> None:
    """Take a mount away, if nothing uses it.

    Raises:
        StepError: something does, or the server does not answer.
    """
    words = ""
    try:
        host.systemd.stop(unit(place))
    except StepError as error:
        words = ": " + error.message
    if host.nfs.mounted(place.path) is not None:
        raise StepError("{} is still mounted at {}: something uses it, or its server does not answer{}".format(
            there.source, place.path, words),
            "`fuser -vm {}` shows who; end that, then run `mailimg-firstboot apply`.".format(place.path))


def wanted(work: Work, place: MountPoint) -> Storage:
    """What the site wants mounted there."""
    value = work.site[place.site]
    return Storage(value["server"], value["export"], value["version"])


def options(goal: Storage) -> str:
    """Of mount(8)."""
    return ",".join(["vers=" + goal.version] + COMMON + (VERSION_3 if goal.version == "3" else []))


def unit(place: MountPoint) -> str:
    """The mount unit's name; systemd wants that of the place."""
    return place.path.strip("/") + ".mount"


def unit_file(place: MountPoint) -> str:
    """Where the mount unit stands."""
    return "/etc/systemd/system/" + unit(place)


def unit_content(place: MountPoint, goal: Storage, work: Work) -> bytes:
    """The mount unit; not enabled: at every boot the agent asks the server first."""
    values: Dict[str, str] = {
        "source": goal.source, "place": place.path, "options": options(goal),
        # At shutdown this turns round: who writes there ends first.
        "before": " ".join(service.unit for service in work.role.services),
    }
    return UNIT.format(**values).encode("ascii")


# TimeoutSec: as the server has just answered, mount(8) takes a moment; unmounting one that is away would take for ever.
UNIT = """\
# Written by mailimg-firstboot.
[Unit]
Description=Shared storage
Wants=network-online.target
After=network-online.target
Before={before}

[Mount]
What={source}
Where={place}
Type=nfs
Options={options}
TimeoutSec=60
"""
