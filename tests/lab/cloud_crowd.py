"""A group of instances that join and leave their pools all at once, each with the agent's own code and waits."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from cloud import Rig
from cloud.project import Project
from cloud_instance import Instance, document

from mailimg_firstboot.cloud.octavia import Octavia

# A line of a service's log for each request.
REQUEST = re.compile(r'"\S*?(GET|POST|PUT|DELETE) (\S+) HTTP/1\.1\S*" (\d{3}) ')

# Listeners of the load balancer; the role of `cloud_instance` has these ports.
LISTENERS = {"smtp": 25, "imap": 143}


@dataclass(frozen=True)
class Phase:
    """All instances did one thing.

    Args:
        name: what.
        seconds: until the last had done it.
        each: seconds of every instance that did it, sorted.
        failures: words of those that did not.
        waits: how often an instance waited before it tried again, all together.
        calls: requests that the load balancer service answered, by method and status.
        tokens: that Keystone gave out to instances.
        members: of every pool afterwards.
    """

    name: str
    seconds: float
    each: list[float]
    failures: list[str]
    waits: int
    calls: dict[str, int]
    tokens: int
    members: list[int]

    @property
    def total(self) -> int:
        """Requests to the load balancer service."""
        return sum(self.calls.values())

    @property
    def refused(self) -> int:
        """Requests that met a load balancer under change."""
        return sum(count for what, count in self.calls.items() if what.endswith(" 409"))

    def percentile(self, of: int) -> float:
        """Seconds within which this percentage of the instances was done."""
        return quantiles(self.each, n=100, method="inclusive")[of - 1] if len(self.each) > 1 else self.each[0]

    def figures(self, instances: int) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "p50": self.percentile(50), "p99": self.percentile(99), "refused": self.refused,
                "calls_each": self.total / instances}


class Crowd:
    """Instances of one role.

    Args:
        root: of their folders.
        pools: how many ports of each are in pools of one load balancer.
        change: seconds for which every change keeps the load balancer immutable.
        more: keys of `balancer` in their site documents.
    """

    def __init__(self, rig: Rig, root: Path, name: str, count: int, pools: int = 1, change: float = 0.0,
                 **more: Any) -> None:
        self.rig, self.change = rig, change
        self.project: Project = rig.project()
        wanted = dict(list(LISTENERS.items())[:pools])
        self.balancer = self.project.load_balancer(name, wanted)
        # One for all of a role, as a stack makes them.
        credential = self.project.credential(Octavia.rules)
        # Agents speak to the journal.
        with redirect_stdout(_Nowhere()):
            self.instances = [
                Instance(root, document(rig, credential, self.balancer.pools, address=address, **more))
                for address in (f"10.20.{number // 250}.{number % 250}" for number in range(1, count + 1))]

    def join(self) -> Phase:
        """All join."""
        return self._together("join", Instance.join)

    def drain(self) -> Phase:
        """None takes new sessions any more."""
        return self._together("drain", Instance.drain)

    def leave(self) -> Phase:
        """All leave."""
        return self._together("leave", Instance.leave)

    def names(self) -> list[list[str]]:
        """Of the members of every pool, sorted."""
        return [sorted(str(one["name"]) for one in self.project.members(pool))
                for pool in self.balancer.pools.values()]

    def _together(self, name: str, act: Callable[[Instance], None]) -> Phase:
        each: list[float] = []
        failures: list[str] = []
        gate = threading.Barrier(len(self.instances) + 1)

        def one(instance: Instance) -> None:
            gate.wait()
            begun = time.monotonic()
            try:
                act(instance)
            except Exception as error:  # noqa: BLE001 - counted, and shown by whoever asked
                failures.append(f"{instance.uuid}: {error}")
            else:
                each.append(time.monotonic() - begun)

        waited = sum(len(one.waits()) for one in self.instances)
        before, tokens = self._requests("octavia"), self._tokens()
        threads = [threading.Thread(target=one, args=(instance,), daemon=True) for instance in self.instances]
        with self.rig.pending(self.change) if self.change else nullcontext(), redirect_stdout(_Nowhere()):
            for thread in threads:
                thread.start()
            gate.wait()
            begun = time.monotonic()
            for thread in threads:
                thread.join()
            seconds = time.monotonic() - begun
        calls, tokens = self._requests("octavia") - before, self._tokens() - tokens
        waited = sum(len(one.waits()) for one in self.instances) - waited
        self.project.settle(self.balancer.id)
        return Phase(name, seconds, sorted(each), failures, waited, dict(sorted(calls.items())), tokens,
                     [len(pool) for pool in self.names()])

    def _requests(self, service: str) -> Counter[str]:
        return Counter(f"{method} {status}" for method, _, status in REQUEST.findall(self.rig.services.log(service)))

    def _tokens(self) -> int:
        return self._requests("keystone")["POST 201"]


class _Nowhere:
    """Standard output of agents whose events stand in files, too."""

    def write(self, text: str) -> int:
        """Nothing."""
        return len(text)

    def flush(self) -> None:
        """Nothing."""
