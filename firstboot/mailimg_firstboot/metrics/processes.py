"""The kernel's list of processes, by the unit that each belongs to (proc(5))."""

import contextlib
import os
import re
from typing import List, NamedTuple

from mailimg_firstboot.host import Host

# A line of /proc/<pid>/cgroup ends with the path of the control group: of systemd's own hierarchy, or of the only one.
UNIT = re.compile(r"/([^/\n]+\.service)(?=/|$)", re.MULTILINE)


class Process(NamedTuple):
    """A process.

    Args:
        unit: the service that it belongs to; empty for one of none.
        title: its command line, as it shows it to ps(1).
        resident: its resident memory in bytes.
    """

    pid: int
    unit: str
    title: str
    resident: int


def table(host: Host) -> List[Process]:
    """All processes; one that ends meanwhile is left out."""
    found = []
    page = os.sysconf("SC_PAGE_SIZE")
    for folder in host.path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            groups, words, sizes = ((folder / one).read_bytes().decode("utf-8", "replace")
                                    for one in ("cgroup", "cmdline", "statm"))
            found.append(Process(int(folder.name), unit(groups), title(words), int(sizes.split()[1]) * page))
    return found


def unit(groups: str) -> str:
    """The innermost service in the text of /proc/<pid>/cgroup."""
    found = UNIT.findall(groups)
    return str(found[-1]) if found else ""


def title(words: str) -> str:
    """/proc/<pid>/cmdline for people; one that a process wrote over ends with NULs of the old."""
    return words.rstrip("\0").replace("\0", " ")
