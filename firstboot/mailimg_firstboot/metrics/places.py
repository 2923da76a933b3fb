"""Room on the file systems that mail is kept on, and whether they are the right ones.

Each place has a collector of its own: one whose server is away waits until the collection ends without it.
"""

import os
import re

from mailimg_firstboot.disks import BY_ID
from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import View
from mailimg_firstboot.nfs import Storage
from mailimg_firstboot.steps import storage
from mailimg_firstboot.steps import volume as volumes


def queue(view: View, samples: Samples) -> None:
    """Where Postfix' queue is: it takes no mail when that is full."""
    _space(view, samples, "queue", view.host.postfix.setting(view.fact("postfix", "config"), "queue_directory"))


def quarantine(view: View, samples: Samples) -> None:
    """Where amavis keeps what it does not deliver."""
    _space(view, samples, "quarantine", view.fact("amavis", "quarantine"))


def mailboxes(view: View, samples: Samples) -> None:
    """Shared storage, as a client has it mounted."""
    place = view.role.mount
    if place is None:
        return
    there = view.host.nfs.mounted(place.path)
    goal = view.status.get("storage")
    right = there is not None and (view.host.nfs.contained() or (
        goal is not None and not storage.wrong(there, Storage(goal["server"], goal["export"], goal["version"]))))
    samples.add("mount_right", right, path=place.path)
    if there is not None:
        _space(view, samples, "mailboxes", place.path)


def volume(view: View, samples: Samples) -> None:
    """The volume of a storage server: the device that the agent's mount unit names must be the one that is mounted."""
    goal = view.role.volume
    if goal is None:
        return
    unit = (view.host.read(volumes.unit_file(goal)) or b"").decode("utf-8", "replace")
    named = re.search(r"^What={}/(.+)$".format(BY_ID), unit, re.MULTILINE)
    there = volumes.mounted(view.host.read("/proc/self/mounts") or b"", goal.mount)
    right = named is not None and there != "" and view.host.disks.by_id().get(named.group(1)) == there
    samples.add("mount_right", right, path=goal.mount)
    if there:
        _space(view, samples, "volume", goal.mount)


def _space(view: View, samples: Samples, place: str, path: str) -> None:
    found = os.statvfs(str(view.host.path(path)))
    samples.add("filesystem_size_bytes", found.f_blocks * found.f_frsize, place=place, path=path)
    samples.add("filesystem_avail_bytes", found.f_bavail * found.f_frsize, place=place, path=path)
    samples.add("filesystem_files", found.f_files, place=place, path=path)
    samples.add("filesystem_files_free", found.f_ffree, place=place, path=path)
