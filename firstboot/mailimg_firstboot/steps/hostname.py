"""The instance's name: kernel, /etc/hostname, and a line in /etc/hosts so that it resolves without DNS."""

from typing import List, Optional

from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work

FILE = "/etc/hostname"
HOSTS = "/etc/hosts"

# The address Debian's installer gives a host's own name; it works before the network does.
OWN = "127.0.1.1"

# The name of a machine that has none yet.
NAMELESS = "localhost"


def check(host: Host, work: Work) -> Optional[str]:
    """Compare name and files."""
    name = work.node.hostname
    found = []
    if host.hostname() != name:
        found.append("host name is {}, not {}".format(host.hostname(), name))
    if host.read(FILE) != _file(name):
        found.append("{} does not hold {}".format(FILE, name))
    if _hosts(host) != with_own_line(_hosts(host), work.node.fqdn, name):
        found.append("{} has no line `{}`".format(HOSTS, own_line(work.node.fqdn, name)))
    return "; ".join(found) or None


def apply(host: Host, work: Work) -> None:
    """Set name and files."""
    name = work.node.hostname
    if host.read(FILE) != _file(name):
        host.write(FILE, _file(name))
    wanted = with_own_line(_hosts(host), work.node.fqdn, name)
    if _hosts(host) != wanted:
        host.write(HOSTS, _bytes(wanted))
    if host.hostname() != name:
        host.set_hostname(name)


def undo(host: Host, work: Work) -> None:
    """Make the machine nameless again, if it bears our name."""
    name = work.node.hostname
    if host.read(FILE) == _file(name):
        host.write(FILE, _file(NAMELESS))
    if own_line(work.node.fqdn, name) in _hosts(host).splitlines():
        left = [line for line in _hosts(host).splitlines() if not _is_own(line)]
        host.write(HOSTS, _bytes("".join(line + "\n" for line in left)))
    if host.hostname() == name:
        host.set_hostname(NAMELESS)


def own_line(fqdn: str, name: str) -> str:
    """The line of /etc/hosts; the full name first, because that is what `hostname -f` and Postfix take."""
    return "{} {}".format(OWN, " ".join([fqdn] if fqdn == name else [fqdn, name]))


def with_own_line(content: str, fqdn: str, name: str) -> str:
    """/etc/hosts with one line for `OWN`: in the place of the first such line, or after the last of 127.0.0.1."""
    wanted = own_line(fqdn, name)
    lines: List[str] = []
    for line in content.splitlines():
        if not _is_own(line):
            lines.append(line)
        elif wanted not in lines:
            lines.append(wanted)
    if wanted not in lines:
        local = [index for index, line in enumerate(lines) if line.split()[:1] == ["127.0.0.1"]]
        lines.insert(local[-1] + 1 if local else len(lines), wanted)
    return "".join(line + "\n" for line in lines)


def _is_own(line: str) -> bool:
    return line.split()[:1] == [OWN]


def _hosts(host: Host) -> str:
    return (host.read(HOSTS) or b"127.0.0.1 localhost\n").decode("utf-8", "surrogateescape")


def _bytes(content: str) -> bytes:
    return content.encode("utf-8", "surrogateescape")


def _file(name: str) -> bytes:
    return name.encode("ascii") + b"\n"
