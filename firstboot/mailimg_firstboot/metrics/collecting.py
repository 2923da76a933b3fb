"""One collection: all collectors of the role at the same time, and an end to it whatever hangs."""

import os
import select
import threading
from typing import Callable, Dict, List

from mailimg_firstboot import report
from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.metrics import (
    agent,
    checks,
    exports,
    filters,
    mailboxes,
    mailqueue,
    places,
    processes,
    units,
    webmail,
)
from mailimg_firstboot.metrics.exposition import Sample, Samples, render
from mailimg_firstboot.metrics.view import View
from mailimg_firstboot.rolefile import RoleFile
from mailimg_firstboot.waiting import Clock

# Seconds for everything; what has not answered by then does not answer.
DEADLINE = 8.0

Collector = Callable[[View, Samples], None]

# Those of every role, and those of a service.
EVERY: Dict[str, Collector] = {"agent": agent.collect, "units": units.collect, "keytab": agent.keytab}
BY_SERVICE: Dict[str, Dict[str, Collector]] = {
    "postfix": {"queue": mailqueue.collect, "queue_space": places.queue},
    "amavis": {"amavis": filters.amavis, "quarantine": filters.quarantine, "quarantine_space": places.quarantine},
    "clamd": {"clamd": filters.clamd, "signatures": filters.signatures},
    "dovecot": {"dovecot": mailboxes.collect},
    "sogo": {"sogo": webmail.sogo},
    "memcached": {"memcached": webmail.memcached},
    "mariadb": {"mariadb": webmail.mariadb},
    "nfs": {"nfsd": exports.collect},
}


def collectors(view: View) -> Dict[str, Collector]:
    """The collectors of a node, by name: what its role has and its site wants."""
    found = dict(EVERY)
    for service in () if view.stopped else view.services:
        found.update(BY_SERVICE.get(service.name, {}))
    if view.role.mount is not None:
        found["mailboxes_space"] = places.mailboxes
    if view.role.volume is not None:
        found["volume_space"] = places.volume
    for check in view.checks:
        found["check_" + check.name] = checks.collector(check)
    return found


def collect(host: Host, clock: Clock, role: RoleFile, say: Callable[[str], None], deadline: float = DEADLINE) -> str:
    """Everything that this node tells, as text; it takes at most `deadline` seconds.

    Args:
        say: is told what a collector could not find out.
    """
    begun = clock.now()
    view = View(host, clock, role, report.read_status(host) or {}, processes.table(host))
    bell = _Bell()
    running = [_Running(name, one, view, bell) for name, one in sorted(collectors(view).items())]
    for one in running:
        one.start()
    while not all(one.ended for one in running) and bell.wait(begun + deadline - clock.now()):
        pass
    everything = [sample for one in running for sample in one.result(begun, say)]
    last = Samples()
    last.add("collected_timestamp_seconds", round(clock.epoch(), 3))
    last.add("collection_cpu_seconds", round(host.spent(), 3))
    return render(everything + last.found)


class _Bell:
    """Rung by each collector that has ended. Not a lock: Python 3.6 waits for one until a time of day, see `Clock`."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()

    def __del__(self) -> None:
        """Close the pipe; a collector that hangs keeps it open."""
        os.close(self._heard)
        os.close(self._rung)

    def ring(self) -> None:
        """One has ended."""
        os.write(self._rung, b"!")

    def wait(self, seconds: float) -> bool:
        """Until somebody rings; False when the time is over."""
        if seconds <= 0 or not select.select([self._heard], [], [], seconds)[0]:
            return False
        os.read(self._heard, 64)
        return True


class _Running(threading.Thread):
    """A collector at work. A daemon thread: one that waits for a server that is away keeps no process from its end."""

    def __init__(self, name: str, collector: Collector, view: View, bell: _Bell) -> None:
        super().__init__(name=name, daemon=True)
        self._collector = collector
        self._view = view
        self._bell = bell
        self._samples = Samples()
        self._trouble = ""
        self._took = -1.0
        self.ended = False

    def run(self) -> None:
        """Collect; a defect of the collector goes to standard error, as of any thread."""
        begun = self._view.clock.now()
        try:
            self._collector(self._view, self._samples)
            self._took = self._view.clock.now() - begun
        except FirstbootError as error:
            self._trouble = error.message
        except (OSError, ValueError) as error:
            self._trouble = str(error) or type(error).__name__
        finally:
            self.ended = True
            self._bell.ring()

    def result(self, begun: float, say: Callable[[str], None]) -> List[Sample]:
        """What was found by now, and how it went."""
        ended, took = self.ended, self._view.clock.now() - begun
        well = ended and self._took >= 0
        told = Samples()
        # What `up` says is 0 unless the collector came to say otherwise.
        for name in self._view.claims(self.name):
            told.add("up", 0, check=name)
        if well:
            told.found += self._samples.found
        told.add("collector_success", well, collector=self.name)
        told.add("collector_duration_seconds", round(self._took if well else took, 6), collector=self.name)
        if not ended:
            say("{}: no end after {:.1f} s".format(self.name, took))
        elif self._trouble:
            say("{}: {}".format(self.name, self._trouble))
        return told.found
