"""What webmail stands on: sogod's workers, memcached, the node's own database."""

from typing import Dict

from mailimg_firstboot import sockets
from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import PATIENCE, View
from mailimg_firstboot.parting.sessions import TABLES


def sogo(view: View, samples: Samples) -> None:
    """sogod has a watchdog, the parent of all workers. Its workers do not tell who of them is busy."""
    samples.add("sogo_workers", max(0, len(view.running("sogo")) - 1))
    port = view.port("sogo")
    texts = [(view.host.read(path) or b"").decode("ascii", "replace") for path in TABLES]
    samples.add("sogo_connections", sum(one.port == port for text in texts for one in sockets.connections(text)))


def memcached(view: View, samples: Samples) -> None:
    """Ask it by its own protocol."""
    found = stats(view.host.talk(view.port("memcached"), b"stats\r\n", b"END\r\n", PATIENCE))
    samples.add("memcached_connections", found["curr_connections"])
    samples.add("memcached_size_bytes", found["bytes"])
    samples.add("memcached_limit_bytes", found["limit_maxbytes"])
    samples.add("memcached_gets_total", found["get_hits"], result="hit")
    samples.add("memcached_gets_total", found["get_misses"], result="miss")
    samples.add("memcached_evictions_total", found["evictions"])


def stats(answer: bytes) -> Dict[str, int]:
    """The numbers in memcached's answer to `stats`.

    Raises:
        ValueError: one that is asked for here is not there.
    """
    rows = [line.split() for line in answer.decode("ascii", "replace").splitlines()]
    found = {row[1]: int(row[2]) for row in rows if len(row) == 3 and row[0] == "STAT" and row[2].isdigit()}
    wanted = {"curr_connections", "bytes", "limit_maxbytes", "get_hits", "get_misses", "evictions"}
    if not wanted <= set(found):
        raise ValueError("memcached does not tell {}".format(", ".join(sorted(wanted - set(found)))))
    return found


def mariadb(view: View, samples: Samples) -> None:
    """Ask it as root of this machine; a server that answers is up."""
    begun = view.clock.now()
    found = view.host.mariadb.figures(view.fact("mariadb", "client"), view.fact("mariadb", "socket"), PATIENCE)
    samples.add("up", 1, check="mariadb")
    samples.add("check_duration_seconds", round(view.clock.now() - begun, 6), check="mariadb")
    samples.add("mariadb_connections", found["Threads_connected"])
    samples.add("mariadb_questions_total", found["Questions"])
    samples.add("mariadb_slow_queries_total", found["Slow_queries"])
