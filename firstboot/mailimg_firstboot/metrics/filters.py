"""The content filter: amavis' workers and its quarantine, clamd's threads, the age of its signatures.

SpamAssassin runs inside of amavis' workers and has nothing of its own that could honestly be counted.
"""

import os
import re
from typing import Dict, Iterator, Optional

from mailimg_firstboot import signatures as databases
from mailimg_firstboot.metrics.agent import epoch
from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import PATIENCE, View

# What a worker writes into its own title (Debian's amavisd-new 2.13; that 2.11 of CentOS 7 does the same is memory of
# its source): "(virgin child)"; "(ch5-avail)" between sessions, "(ch5-idle)", "(ch5-01234-05-idle)" while a client is
# connected and silent, "(ch5-01234-05)" and others while it works.
TITLE = re.compile(r"\((?:virgin child|ch\d+[^)]*|\d+-\d+[^)]*)\)\Z")
WORKERS = ("busy", "connected", "idle")

# Of clamd's answer to STATS: "THREADS: live 1  idle 0 max 12 idle-timeout 30", "QUEUE: 0 items". Live ones include idle
# ones. It speaks of all its pools; those beside the first belong to scans of whole folders.
THREADS = re.compile(r"^THREADS: live (\d+)\s+idle (\d+)\s+max (\d+)", re.MULTILINE)
QUEUE = re.compile(r"^QUEUE: (\d+) items", re.MULTILINE)

# Of its answer to VERSION: "ClamAV 1.0.7/27500/Sat Jan 10 09:00:00 2026"; without official signatures the name alone.
LOADED = re.compile(r"ClamAV [^/]*/(\d+)/")

def amavis(view: View, samples: Samples) -> None:
    """Count workers by what they say they do."""
    states = [worker(one.title) for one in view.running("amavis")]
    for state in WORKERS:
        samples.add("amavis_workers", states.count(state), state=state)


def worker(title: str) -> Optional[str]:
    """What a process of amavis does; None for its master and for programs that it runs."""
    found = TITLE.search(title)
    if not found:
        return None
    if re.search(r"virgin child|-avail\)", found.group()):
        return "idle"
    return "connected" if found.group().endswith("idle)") else "busy"


def quarantine(view: View, samples: Samples) -> None:
    """Count what lies in quarantine."""
    number, size = 0, 0
    for entry in _files(str(view.host.path(view.fact("amavis", "quarantine")))):
        number, size = number + 1, size + entry.stat(follow_symlinks=False).st_size
    samples.add("quarantine_messages", number)
    samples.add("quarantine_size_bytes", size)


def _files(folder: str) -> "Iterator[os.DirEntry[str]]":
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry


def clamd(view: View, samples: Samples) -> None:
    """Ask clamd itself."""
    socket = view.fact("clamd", "socket")
    told, loaded = stats(view.host.talk(socket, b"zSTATS\0", b"\0", PATIENCE)), version(
        view.host.talk(socket, b"zVERSION\0", b"\0", PATIENCE))
    samples.add("clamd_threads", told["busy"], state="busy")
    samples.add("clamd_threads", told["idle"], state="idle")
    samples.add("clamd_threads_limit", told["max"])
    samples.add("clamd_queue_items", told["queue"])
    if loaded is not None:
        samples.add("clamd_signatures_version", loaded)


def stats(answer: bytes) -> Dict[str, int]:
    """Figures of an answer to STATS.

    Raises:
        ValueError: it is none.
    """
    text = answer.decode("utf-8", "replace")
    threads, queue = THREADS.search(text), QUEUE.search(text)
    if not threads or not queue:
        raise ValueError("clamd's answer to STATS is of another form: {!r}".format(text[:80]))
    live, idle, most = (int(one) for one in threads.groups())
    # The thread that answers is among the live.
    return {"busy": max(0, live - idle - 1), "idle": idle, "max": most, "queue": int(queue.group(1))}


def version(answer: bytes) -> Optional[int]:
    """The version of the signatures in an answer to VERSION; None when it has no official ones."""
    found = LOADED.match(answer.decode("utf-8", "replace"))
    return int(found.group(1)) if found else None


def signatures(view: View, samples: Samples) -> None:
    """The newest official database on the disk; nothing where there is none, or before the agent's first run."""
    watch = view.status.get("signatures")
    if not watch:
        return
    seen = databases.look(view.host, watch, view.clock.epoch())
    samples.add("signatures_age_limit_seconds", watch["max_age_days"] * databases.DAY)
    if seen["built"]:
        samples.add("signatures_version", seen["version"])
        samples.add("signatures_built_timestamp_seconds", epoch(seen["built"]))
