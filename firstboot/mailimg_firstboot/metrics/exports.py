"""The kernel's NFS server, as /proc tells of it."""

from typing import Dict

from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import View

THREADS = "/proc/fs/nfsd/threads"
FIGURES = "/proc/net/rpc/nfsd"
# What exportfs handed to the kernel: a line for each folder and group of clients.
EXPORTS = "/var/lib/nfs/etab"


def collect(view: View, samples: Samples) -> None:
    """Threads, exports, calls."""
    threads = view.host.read(THREADS)
    if threads is None:
        raise ValueError("{} is missing: the NFS server does not run".format(THREADS))
    samples.add("nfsd_threads", int(threads))
    samples.add("nfsd_exports", len((view.host.read(EXPORTS) or b"").splitlines()))
    found = figures((view.host.read(FIGURES) or b"").decode("ascii", "replace"))
    samples.add("nfsd_calls_total", found["calls"])
    samples.add("nfsd_bad_calls_total", found["bad"])


def figures(text: str) -> Dict[str, int]:
    """Of the line `rpc`: calls, and the sum of those that were refused.

    Raises:
        ValueError: there is no such line.
    """
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["rpc"] and len(fields) > 2:
            return {"calls": int(fields[1]), "bad": int(fields[2])}
    raise ValueError("{} has no line `rpc`".format(FIGURES))
