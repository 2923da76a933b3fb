"""NFS as its client sees it: whether a server answers, what is mounted, why a mount failed, and what lies on it.

The mount itself is systemd's (steps/storage.py): one that the agent made in its own namespace nobody else would see.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from mailimg_firstboot import mounts, rpc
from mailimg_firstboot.errors import StepError, TransientError

MOUNTINFO = "/proc/self/mountinfo"

# Seconds for a look at the storage or a trial. A server of NFS 4 that has just started lets nobody open files until its
# clients of before had 90 s to claim theirs; that passes with later attempts.
LOOK_TIMEOUT = 20.0

# Seconds for the folders: what is not done then is done by the next attempt.
PREPARE_TIMEOUT = 240.0

# Seconds in which the journal gets what mount(8) said before systemd called it failed.
JOURNAL_LATE = 2.0


# What onstorage.py does, as messages call it.
VERBS = {"look": "look at", "trial": "write to", "prepare": "make the folders of", "report": "report to",
         "retire": "say goodbye to"}


class StaleError(TransientError):
    """The server answers, but no longer knows what is mounted."""


class Storage(NamedTuple):
    """What is to be mounted where: an item of role.json with its site key.

    Args:
        source: `server:/export`.
        version: 3, 4.1 or 4.2.
    """

    server: str
    export: str
    version: str

    @property
    def source(self) -> str:
        """As mount(8) and the kernel's table have it."""
        return "{}:{}".format(self.server, self.export)


class NFS:
    """The machine as a client.

    Args:
        path: `Host.path`.
        run: `Host.run`.
    """

    def __init__(self, path: Callable[[str], Path], run: Callable[..., Any]) -> None:
        self._path = path
        self._run = run

    def contained(self) -> bool:
        """Whether this is a container: what is mounted there is decided by whoever started it."""
        return self._path("/run/systemd/container").exists()

    def mounted(self, place: str) -> Optional[mounts.Mount]:
        """What is mounted at a place; looks at the kernel's table only, which never waits for a server."""
        return mounts.at(self._path(MOUNTINFO).read_bytes(), place)

    def reach(self, goal: Storage) -> None:
        """Ask the server whether it speaks this version.

        Raises:
            TransientError: it does not answer.
            StepError: it speaks others only.
        """
        try:
            answer = rpc.call(goal.server, rpc.NFS_PORT, rpc.NFS, int(goal.version[0]), 0)
        except OSError as error:
            raise TransientError("storage server {} does not answer at port {}: {}".format(
                goal.server, rpc.NFS_PORT, error.strerror or error),
                "Does it run, is storage.server right, and does its security group let this instance in?") from error
        if answer.status == rpc.OTHER_VERSION:
            raise StepError("storage server {} does not speak NFS {}; it speaks {}".format(
                goal.server, goal.version, " to ".join(sorted({str(one) for one in answer.versions}))),
                "Correct storage.version.")
        if answer.status != rpc.SUCCESS:
            raise TransientError("storage server {} serves no NFS (status {})".format(goal.server, answer.status))

    def exports(self, server: str) -> Optional[List[str]]:
        """Folders that a server says it exports; None when it does not say."""
        return rpc.exports(server)

    def journal_end(self, unit: str) -> str:
        """Where the journal of a unit ends now; for `said_since`."""
        entries = self._journal(unit, "1")
        return str(entries[-1].get("__CURSOR", "")) if entries else ""

    def said_since(self, unit: str, end: str) -> str:
        """What mount.nfs said since then; empty when nothing came."""
        deadline = time.monotonic() + JOURNAL_LATE
        while True:
            entries = self._journal(unit, "50")
            cursors = [one.get("__CURSOR") for one in entries]
            fresh = entries[cursors.index(end) + 1:] if end in cursors else entries
            words = [str(one.get("MESSAGE", "")) for one in fresh]
            words = [one for one in words if one.startswith("mount")]
            if words or time.monotonic() > deadline:
                return words[-1] if words else ""
            time.sleep(0.1)

    def _journal(self, unit: str, count: str) -> List[Dict[str, Any]]:
        argv = ["journalctl", "--no-pager", "-b", "-o", "json", "-n", count, "-u", unit]
        told = self._run(argv, "read the journal of {}".format(unit), check=False).out
        return [json.loads(line.decode("utf-8", "replace")) for line in told.splitlines() if line.startswith(b"{")]

    def look(self, place: str, uid: int, gid: int, folders: int) -> Dict[str, Any]:
        """Owner of the root (`uid`, `gid`), `read_only`, number of hashed folders that are `missing`.

        Raises:
            StaleError: the handle is stale.
            TransientError: the server does not answer.
        """
        return self._ask("look", place, uid, gid, LOOK_TIMEOUT, "", str(folders))

    def trial(self, place: str, uid: int, gid: int, name: str) -> None:
        """Write and delete a file there; raises as `look` does, and StepError when it is read-only."""
        self._ask("trial", place, uid, gid, LOOK_TIMEOUT, name)

    def prepare(self, place: str, uid: int, gid: int, folders: int, name: str) -> int:
        """Make the hashed folders; how many this machine made.

        Raises:
            TransientError: another server is at it, or as `look`.
        """
        told = self._ask("prepare", place, uid, gid, PREPARE_TIMEOUT, name, str(folders))
        if "busy" in told:
            raise TransientError("another server ({}) prepares the folders of {}".format(told["busy"], place))
        return int(told["made"])

    def report(self, place: str, uid: int, gid: int, name: str, address: str) -> Dict[str, Tuple[str, float]]:
        """Tell the other servers of this one; of each its address (empty: it does not serve), and how old that is.

        Raises as `look` does.
        """
        told = self._ask("report", place, uid, gid, LOOK_TIMEOUT, name, address)
        return {one: (str(where), float(age)) for one, (where, age) in told["servers"].items()}

    def retire(self, place: str, uid: int, gid: int, name: str) -> None:
        """Tell the other servers that this one is gone; raises as `look` does."""
        self._ask("retire", place, uid, gid, LOOK_TIMEOUT, name)

    def _ask(self, verb: str, place: str, uid: int, gid: int, timeout: float, name: str,
             *more: str) -> Dict[str, Any]:
        """Run onstorage.py, in a process of its own that may be left waiting."""
        what = "{} {}".format(VERBS[verb], place)
        script = str(Path(__file__).with_name("onstorage.py"))
        # -I: nothing of the folder it is in, nor of the environment.
        python = sys.executable
        argv = [python, "-I", script, verb, str(self._path(place)), str(uid), str(gid), name, *more]
        try:
            told: Dict[str, Any] = json.loads(self._run(argv, what, timeout).out.decode("utf-8"))
        except StepError as error:
            if "no end after" not in error.message:
                raise
            raise TransientError("{}: the storage server has not answered for {:g} s".format(what, timeout),
                                 "What was mounted stays; it goes on when the server is back.") from error
        if "error" in told:
            words = "{}: {}".format(what, told["error"])
            if told["errno"] == "EROFS":
                raise StepError(words, "The server must export it for writing (rw).")
            if told["errno"] == "ESTALE":
                raise StaleError(words, "The server no longer knows the file system that was mounted.")
            raise TransientError(words, HINTS.get(told["errno"], ""))
        return told


HINTS = {
    "EACCES": "The export's root must belong to the mailboxes' owner, who must be allowed to write there.",
    "EPERM": "The export's root must belong to the mailboxes' owner, who must be allowed to write there.",
}
