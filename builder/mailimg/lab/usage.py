"""The processes of a lab's containers: what they take of this machine, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

END_SECONDS = 20.0
# The kernel limits how often one user, here root, watches files; the sum over all containers counts.
WATCH_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
WATCHES = 10  # of one container: counted on a booted node


def pss_kib(rollup: str) -> int:
    """The proportional set size of a process in KiB, from the text of its smaps_rollup: shared pages are shared out."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def processes(group: Path) -> list[int]:
    """Process ids in a control group and those below it."""
    found: list[int] = []
    for file in group.rglob("cgroup.procs"):
        with suppress(OSError):
            found += [int(word) for word in file.read_text().split()]
    return found


def own(groups: Sequence[Path], node: str) -> Path | None:
    """One of a container's control groups; each has all its processes. None: it has not been started."""
    return next((one / node for one in groups if (one / node / "cgroup.procs").exists()), None)


def end(groups: Sequence[Path], node: str) -> bool:
    """Kill all processes of a container, which outlive a killed nspawn; whether they have gone."""
    group = own(groups, node)
    deadline = time.monotonic() + END_SECONDS
    while group is not None and (left := processes(group)):
        if time.monotonic() > deadline:
            return False
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return True


def watches() -> int:
    """How many inotify instances root has on this machine."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == 0:
                total += sum(str(link.readlink()) == "anon_inode:inotify" for link in (process / "fd").iterdir())
    return total


def memory_mib(groups: Sequence[Path], node: str) -> int:
    """MiB that the processes of a container have in memory; what it wrote to its disk is not in it.

    Args:
        groups: the lab's control groups.
    """
    group = own(groups, node)
    total = 0
    for pid in processes(group) if group is not None else ():
        with suppress(OSError):
            total += pss_kib(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return total >> 10
