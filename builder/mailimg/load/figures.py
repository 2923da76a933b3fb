"""Many numbers in a few."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailimg.load.ledger import Ledger


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        rate: letters a second, from the first sent to the last that arrived.
        latency: seconds of each letter, from when it was due to when it was there.
        accept: seconds of each letter at the door.
        cpu: seconds of processor time by unit.
        memory: MiB at the end of the run, by unit.
        hops: seconds by hop.
    """

    name: str
    rate: float
    ledger: Ledger
    latency: Sequence[float]
    accept: Sequence[float]
    cpu: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    hops: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def per_core(self) -> float:
        """Letters for one second of processor time of the node."""
        spent = sum(self.cpu.values())
        return self.ledger.taken / spent if spent else 0.0

    def figures(self) -> dict[str, float]:
        """As flat numbers."""
        found = {"rate": self.rate, "per core": self.per_core, "p50": percentile(self.latency, 50),
                 "p99": percentile(self.latency, 99), "accept p50": percentile(self.accept, 50),
                 "accept p99": percentile(self.accept, 99), "memory": sum(self.memory.values())}
        for hop, seconds in self.hops.items():
            found |= {f"{hop} p50": percentile(seconds, 50), f"{hop} p99": percentile(seconds, 99)}
        for unit, spent in self.cpu.items():
            found[f"cpu {unit}"] = 1000 * spent / max(self.ledger.taken, 1)
        for unit, mib in self.memory.items():
            found[f"memory {unit}"] = mib
        return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure the median over those runs that have it."""
    names = {name: None for run in runs for name in run}
    return {name: statistics.median(run[name] for run in runs if name in run) for name in names}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of neighbours' ratios: run by run, so that a machine that slows down slows both."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
