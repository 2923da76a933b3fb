"""When a node leaves: by command, by the server's metadata, at shutdown. `leaving` is how."""

import json
from typing import Any, List, Optional

from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report, read_status
from mailimg_firstboot.waiting import Clock

# What systemd starts when a machine is switched off, and what when it comes back.
OFF = {"poweroff.target", "halt.target"}
BACK = {"reboot.target", "kexec.target"}

# States in which a look at the metadata is worth it: a node that is at work, or has left, has nothing to learn there.
SETTLED = ("ready", "failed")


def is_shutdown(jobs: List[str]) -> bool:
    """Whether units that are about to start switch the machine off for good; a reboot comes back as what it was."""
    return bool(OFF & set(jobs)) and not BACK & set(jobs)


def is_asked(host: Host, clock: Clock, url: str) -> bool:
    """Whether the metadata service says that the node is to leave; a config drive never changes, so it is not asked.

    A service that is away, or that this cloud does not have, says nothing: the next look is soon.
    """
    from mailimg_firstboot import metadata, sources

    found = read_status(host)
    if found is None or found["state"] not in SETTLED:
        return False
    try:
        content = sources.Service(url, clock).get("meta_data.json")
        return metadata.order(json.loads((content or b"{}").decode("utf-8"))) == metadata.DRAIN
    except (FirstbootError, ValueError):
        return False


def leave(host: Host, clock: Clock, options: Any, sessions: Optional[float] = None, force: bool = False) -> None:
    """Take the node out of the platform; see `leaving.leave`."""
    from mailimg_firstboot import leaving

    leaving.leave(host, clock, Report(host, clock, leaving=True), options, sessions, force)
