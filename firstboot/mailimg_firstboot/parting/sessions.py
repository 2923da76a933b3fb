"""Sessions of clients on the role's ports: waited for, until they end or time is up. The pools send nobody new."""

from typing import Optional

from mailimg_firstboot import sockets
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def check(host: Host, work: Work) -> Optional[str]:
    """Count them in the kernel's table: Postfix', Dovecot's and the web server's alike."""
    tables = [(host.read(path) or b"").decode("ascii", "replace") for path in TABLES]
    found = sockets.sessions(tables, [port["port"] for port in work.role.ports])
    if not found:
        return None
    return "{} open: {}".format("1 session" if sum(found.values()) == 1 else "{} sessions".format(sum(found.values())),
                                ", ".join("{} on port {}".format(found[port], port) for port in sorted(found)))


def apply(_host: Host, _work: Work) -> None:
    """Nothing can be done but wait; those that stay end when the services are stopped."""


def undo(_host: Host, _work: Work) -> None:
    """Nothing was changed."""
