"""This server among those that share its storage: each works on the mail of its own users (`assignment`)."""

from typing import Optional

from mailimg_firstboot import assignment, moving, myself, roster
from mailimg_firstboot.errors import TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work

TIMER = "mailimg-siblings.timer"
SERVICE = "mailimg-siblings.service"


def check(host: Host, work: Work) -> Optional[str]:
    """Whether the others are told of this server as it is now, again and again."""
    if work.role.assignment is None:
        return None
    if host.read(roster.STATE) != roster.written(myself.me(work)):
        return "{}: not as it must be".format(roster.STATE)
    return None if host.systemd.state(TIMER).active else "{} is not active".format(TIMER)


def apply(host: Host, work: Work) -> None:
    """Take part: the others know before anybody is sent here.

    Raises:
        TransientError: the storage does not answer.
        StepError: no address is the site's; the certificate has no name.
    """
    if work.role.assignment is None:
        return
    mine = myself.me(work)
    host.write(roster.STATE, roster.written(mine))
    assignment.refresh(host, work.role, mine)
    if not host.systemd.state(TIMER).active:
        host.systemd.start(TIMER)


def undo(host: Host, work: Work) -> None:
    """Leave this server's users to the others.

    Raises:
        TransientError: the storage does not answer, or Dovecot does not say whose some of its sessions are.
    """
    mine = roster.read(host)
    if mine is None or not mine.address:
        return
    # They would report again: the timer, and then a run that is at it, whose end is waited for.
    host.systemd.stop(TIMER)
    host.systemd.stop(SERVICE)
    if not assignment.withdraw(host, work.role, mine).whole:
        raise TransientError("not all sessions of users who are another server's now have ended")
    moving.done(host)
    host.remove(roster.STATE)


def left(host: Host, _work: Work) -> Optional[str]:
    """Whether the others still count on this server."""
    return "its siblings count on this server" if _counted_on(host) else None


def renewed(host: Host, work: Work) -> None:
    """The certificate may have other names now."""
    if work.role.assignment is not None and _counted_on(host):
        host.write(roster.STATE, roster.written(myself.me(work)))


def _counted_on(host: Host) -> bool:
    mine = roster.read(host)
    return mine is not None and bool(mine.address)
