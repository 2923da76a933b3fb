"""When a node leaves: by command, at shutdown, by the server's metadata, before Heat deletes it. `leaving` is how."""

import json
from typing import Any, Callable, List, Optional

from mailimg_firstboot.errors import BusyError, DocumentError, FirstbootError, GaveUpError, SignalError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import LOCK, Report, read_status
from mailimg_firstboot.waiting import Clock

# What systemd starts when a machine is switched off, and what when it comes back.
OFF = {"poweroff.target", "halt.target"}
BACK = {"reboot.target", "kexec.target"}


def is_shutdown(jobs: List[str]) -> bool:
    """Whether units that are about to start switch the machine off for good; a reboot comes back as what it was."""
    return bool(OFF & set(jobs)) and not BACK & set(jobs)


def watch(host: Host, clock: Clock, options: Any, say: Callable[[str], None]) -> None:
    """One look, for the timer: leave if the metadata or Heat say so, and tell Heat how that ended.

    Nothing happens before the boot's own run, nor while any other run is at work: the next look is soon. A run that
    was killed looks like one at work, but for the lock; so an order that it was carrying out is found again.

    Args:
        say: is told what was done, and who did not answer.

    Raises:
        FirstbootError: what ended the run, or Heat refuses to be asked.
    """
    from mailimg_firstboot import orders

    found = read_status(host)
    if found is None:
        return
    # Who has left has nothing more to learn from the metadata; Heat still waits to hear of it.
    drained = found["state"] != "left" and is_asked(clock, options.url)
    waiting = None
    try:
        # Unknown (null) where the last run could not read the site document; perhaps it can be read now.
        waiting = orders.look(host, clock, options) if found.get("heat") is not False else None
    except FirstbootError as error:
        if not drained and not isinstance(error, (TransientError, GaveUpError, DocumentError)):
            raise
        say(error.message)
    if not drained and not (waiting and waiting.ids):
        return
    try:
        with host.lock(LOCK):
            _leave_and_tell(host, clock, options, waiting, say)
    except BusyError as error:
        say(error.message)


def _leave_and_tell(host: Host, clock: Clock, options: Any, waiting: Any, say: Callable[[str], None]) -> None:
    from mailimg_firstboot import orders

    try:
        leave(host, clock, options)
    except SignalError:
        # Neither left nor unable to: the next look goes on.
        raise
    except Exception:
        if waiting:
            waiting.answer(False, orders.outcome(host), clock, say)
        raise
    if waiting:
        waiting.answer(True, orders.outcome(host), clock, say)


def is_asked(clock: Clock, url: str) -> bool:
    """Whether the metadata service says that the node is to leave; a config drive never changes, so it is not asked.

    A service that is away, or that this cloud does not have, says nothing: the next look is soon.
    """
    from mailimg_firstboot import metadata, sources

    try:
        content = sources.Service(url, clock).get("meta_data.json")
        return metadata.order(json.loads((content or b"{}").decode("utf-8"))) == metadata.DRAIN
    except (FirstbootError, ValueError):
        return False


def leave(host: Host, clock: Clock, options: Any, sessions: Optional[float] = None, force: bool = False) -> None:
    """Take the node out of the platform; see `leaving.leave`."""
    from mailimg_firstboot import leaving

    leaving.leave(host, clock, Report(host, clock, leaving=True), options, sessions, force)
