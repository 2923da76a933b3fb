"""Proof that the daemons serve: each is talked to as its clients do. The node is ready only after all checks hold."""

from typing import Optional

from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import HealthCheck
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Carry out every check of role.json."""
    found = []
    unwanted = [service.name for service in work.role.services if not service.wanted(work.site)]
    for one in work.role.health:
        if one.service in unwanted:
            continue
        words = host.probe(one) or trial(host, work, one)
        if words:
            place = "127.0.0.1:{}".format(one.port) if one.port else one.path
            found.append("{} ({} {}): {}".format(one.name, one.check, place, words))
    return "; ".join(found) or None


def trial(host: Host, work: Work, one: HealthCheck) -> Optional[str]:
    """Where mailboxes are mounted, write and delete a file as their owner: a table of mounts proves no server."""
    place = work.role.mount
    if one.check != "mount" or place is None or place.path != one.path:
        return None
    try:
        host.nfs.trial(place.path, place.owner, place.group, work.node.instance)
    except (StepError, TransientError) as error:
        return error.message
    return None


def apply(_host: Host, _work: Work) -> None:
    """Nothing can be done but wait: daemons load databases and open their sockets after systemd calls them started."""


def undo(_host: Host, _work: Work) -> None:
    """Nothing was changed."""
