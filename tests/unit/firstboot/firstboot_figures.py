"""What daemons of booted nodes answered (Debian 12), recorded and shortened; and a machine that answers so."""

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from firstboot_machine import ROLE, FakeHost, machine, with_keys

from mailimg_firstboot.programs import Completed

# ClamAV 1.4.6: STATS at rest, and VERSION without official signatures. That with them is not recorded: it has the form
# that the manual gives.
CLAMD_STATS = (
    b"POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 1  idle 0 max 6 idle-timeout 30\nQUEUE: 0 items\n"
    b"\tSTATS 0.000005 \n\nMEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 pools_used 5.882M "
    b"pools_total 5.903M\nEND\0")
CLAMD_BARE = b"ClamAV 1.4.6\x00"
CLAMD_LOADED = b"ClamAV 1.4.6/27500/Sat Jan 10 09:00:00 2026\x00"

# memcached 1.6.18, with figures that differ from each other.
MEMCACHED = (
    b"STAT pid 293\r\nSTAT uptime 7\r\nSTAT version 1.6.18\r\nSTAT rusage_user 0.018544\r\n"
    b"STAT max_connections 4096\r\nSTAT curr_connections 3\r\nSTAT total_connections 7\r\nSTAT get_hits 5\r\n"
    b"STAT get_misses 2\r\nSTAT bytes 118\r\nSTAT limit_maxbytes 268435456\r\nSTAT evictions 0\r\nEND\r\n")

# Dovecot 2.3.19: nobody; and rows as it showed one (anna, imap, 766, 10.90.0.1).
WHO_NOBODY = "username\tproto\tpid\tip\n"
WHO = WHO_NOBODY + (
    "anna\timap\t512\t10.90.0.1\nanna\timap\t513\t10.90.0.1\nbela\tpop3\t514\t10.90.0.7\nbela\tsieve\t9\t::1\n")

# systemd 252: an active unit, one that is not, one that there is not.
SHOWN = """\
ActiveState=active
ActiveEnterTimestampMonotonic=26319719558

ActiveState=failed
ActiveEnterTimestampMonotonic=26320123155

ActiveState=inactive
ActiveEnterTimestampMonotonic=0
"""

# A kernel with both hierarchies of control groups.
GROUPS = "9:name=systemd:/system.slice/amavis.service\n8:pids:/\n1:cpu:/\n0::/system.slice/amavis.service\n"

# Of nfsd; not recorded, in the form of the kernel's fs/nfsd/stats.c and net/sunrpc/stats.c.
NFSD = "rc 0 6 91\nfh 0 0 0 0 0\nio 3000 8000\nth 64 0 0.000 0.000\nra 0 0 0\nnet 98 0 98 3\nrpc 97 2 0 2 0\n"


class FiguresHost(FakeHost):
    """A machine whose daemons answer what `answers_to` has for their place, and programs what `prints` has."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.answers_to: Dict[Union[str, int], List[bytes]] = {}
        self.prints: Dict[str, str] = {}

    def talk(self, place: Union[str, int], request: bytes, end: bytes, patience: float) -> bytes:
        if place not in self.answers_to:
            raise ConnectionRefusedError(111, "Connection refused")
        return self.answers_to[place].pop(0)

    def run(
        self, argv: Sequence[str], what: str, timeout: float = 60.0, check: bool = True, stdin: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        return Completed(0, self.prints[argv[0]].encode(), "")

    def process(self, pid: int, unit: str, title: str, pages: int = 10) -> None:
        """A process in the kernel's list."""
        folder = self.path("/proc/{}".format(pid))
        folder.mkdir(parents=True)
        (folder / "cgroup").write_text(GROUPS.replace("amavis.service", unit))
        (folder / "cmdline").write_text(title + "\0")
        (folder / "statm").write_text("1000 {} 5 1 0 9 0\n".format(pages))


def figures_machine(root: Path, **keys: Any) -> FiguresHost:
    """A machine with another role.json: `keys` as of `with_keys`."""
    machine(root)
    host = FiguresHost(root)
    host.path("/var/spool/postfix").mkdir(parents=True, exist_ok=True)
    host.path("/etc/mailimg/role.json").write_text(json.dumps(with_keys(ROLE, **keys)))
    return host
