"""Databases on the node itself. A site that names a database server elsewhere (the service's `without`) has none here.

The server has to run to be asked, so this step starts it; it reads its files then, which `loaded` remembers as after
any other start. `undo` takes the account away and leaves the data: nothing that a user stored is ever deleted.
"""

from typing import Iterator, List, Optional, Tuple

from mailimg_firstboot import loaded
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import Database
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Ask the servers for databases, accounts and rights."""
    found: List[str] = []
    for one, unit in local(work):
        state = host.systemd.state(unit)
        if not state.active:
            found.append("{}: {} is {}".format(one.name, unit, state.words))
            continue
        missing = host.mariadb.missing(*_server(work, one), one.name, one.account)
        if missing:
            found.append("{}: no {}".format(one.name, missing))
    return "; ".join(found) or None


def apply(host: Host, work: Work) -> None:
    """Start the servers and create what is missing.

    Raises:
        StepError: a server does not start.
    """
    for one, unit in local(work):
        if not host.systemd.state(unit).active:
            host.systemd.start(unit)
            state = host.systemd.state(unit)
            if not state.active:
                raise StepError("start {}: {} is {}".format(one.service, unit, state.words),
                                "See `systemctl status {0}` and `journalctl -u {0}`.".format(unit))
            loaded.remember(host, unit, loaded.of_service(host, work.files, one.service))
        if host.mariadb.missing(*_server(work, one), one.name, one.account):
            charset = work.role.facts[one.service].get("charset", "utf8mb4")
            host.mariadb.create(*_server(work, one), one.name, one.account, charset)


def undo(host: Host, work: Work) -> None:
    """Close the databases to their accounts; the data stays."""
    for one, unit in local(work):
        if host.systemd.state(unit).active:
            host.mariadb.close(*_server(work, one), one.name, one.account)


def local(work: Work) -> Iterator[Tuple[Database, str]]:
    """The databases of this node, each with its server's unit."""
    units = {service.name: service.unit for service in work.role.services if service.wanted(work.site)}
    for one in work.role.databases:
        if one.service in units:
            yield one, units[one.service]


def _server(work: Work, one: Database) -> Tuple[str, str]:
    facts = work.role.facts.get(one.service, {})
    if "client" not in facts or "socket" not in facts:
        raise StepError("role.json: facts.{} names no client or no socket".format(one.service),
                        "distro.yaml must say how the server is asked.")
    return facts["client"], facts["socket"]
