"""This server among those that share its storage: each works on the mail of its own users (`assignment`)."""

import ipaddress
from typing import Any, Optional

from mailimg_firstboot import assignment, moving
from mailimg_firstboot.cloud import address
from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work

TIMER = "mailimg-siblings.timer"
SERVICE = "mailimg-siblings.service"


def check(host: Host, work: Work) -> Optional[str]:
    """Whether the others are told of this server as it is now, again and again."""
    if work.role.assignment is None:
        return None
    if host.read(assignment.STATE) != assignment.written(me(work)):
        return "{}: not as it must be".format(assignment.STATE)
    return None if host.systemd.state(TIMER).active else "{} is not active".format(TIMER)


def apply(host: Host, work: Work) -> None:
    """Take part: the others know before anybody is sent here.

    Raises:
        TransientError: the storage does not answer.
        StepError: no address is the site's; the certificate has no name.
    """
    if work.role.assignment is None:
        return
    mine = me(work)
    host.write(assignment.STATE, assignment.written(mine))
    assignment.refresh(host, work.role, mine)
    if not host.systemd.state(TIMER).active:
        host.systemd.start(TIMER)


def undo(host: Host, work: Work) -> None:
    """Leave this server's users to the others.

    Raises:
        TransientError: the storage does not answer, or Dovecot does not say whose some of its sessions are.
    """
    mine = assignment.read(host)
    if mine is None:
        return
    # They would report again: the timer, and then a run that is at it, whose end is waited for.
    host.systemd.stop(TIMER)
    host.systemd.stop(SERVICE)
    if not assignment.withdraw(host, work.role, mine).whole:
        raise TransientError("not all sessions of users who are another server's now have ended")
    moving.done(host)
    host.remove(assignment.STATE)


def left(host: Host, _work: Work) -> Optional[str]:
    """Whether the others still count on this server."""
    return "its siblings count on this server" if host.read(assignment.STATE) is not None else None


def renewed(host: Host, work: Work) -> None:
    """The certificate may have other names now."""
    if work.role.assignment is not None and host.read(assignment.STATE) is not None:
        host.write(assignment.STATE, assignment.written(me(work)))


def me(work: Work) -> assignment.Me:
    """What the others are told of this server; errors as `apply`."""
    place, _ = assignment.parts(work.role)
    site: Any = work.site
    if work.certificate is None:
        raise StepError("servers of {} need a certificate to know each other by".format(work.role.role))
    mine, networks = address.beside(site, site[place.site]["server"]), list(site["networks"])
    if assignment.inside(mine, [ipaddress.ip_network(text) for text in networks]) is None:
        raise StepError("{} does not lie in the site's networks: other servers would not pass users on to it".format(
            mine), "Correct `networks`, or balancer.address.")
    return assignment.Me(work.node.instance, mine,
                         assignment.covered(work.certificate.seen.names, work.node.hostname), networks)
