"""The kernel's table of TCP sockets, as text of /proc/net/tcp and /proc/net/tcp6 (proc(5)); a function of its text."""

from typing import Dict, Iterable, Iterator, NamedTuple

ESTABLISHED = "01"

# Loopback as the kernel writes it: groups of four bytes in the order of a little-endian machine.
LOOPBACK6 = "00000000000000000000000001000000"
MAPPED = "0000000000000000FFFF0000"


class Connection(NamedTuple):
    """An established connection: the port here, and whether the other end is this machine."""

    port: int
    local: bool


def connections(text: str) -> Iterator[Connection]:
    """The established connections of a table."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == ESTABLISHED:
            remote = fields[2].rpartition(":")[0]
            yield Connection(int(fields[1].rpartition(":")[2], 16), _loopback(remote))


def sessions(tables: Iterable[str], ports: Iterable[int]) -> Dict[int, int]:
    """How many clients each port has; those of this machine itself do not count."""
    wanted = set(ports)
    found: Dict[int, int] = {}
    for table in tables:
        for one in connections(table):
            if one.port in wanted and not one.local:
                found[one.port] = found.get(one.port, 0) + 1
    return found


def _loopback(address: str) -> bool:
    if address.startswith(MAPPED):
        address = address[len(MAPPED):]
    return address == LOOPBACK6 or (len(address) == 8 and address.endswith("7F"))
