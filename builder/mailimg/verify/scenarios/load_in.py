"""Load on an MX, beside the distribution's own filter of as many workers: `make bench-load`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.load import hops, ledger, letters, stock, usage
from mailimg.load.figures import Run, medians, ratio
from mailimg.load.generator import Door, send
from mailimg.load.variants import DISK, OURS, STOCK, Daemons, Variants
from mailimg.peers import addresses as at
from mailimg.peers.directory import USERS
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until

WORKERS = 4
TUNING: Mapping[str, Any] = {"amavis_workers": WORKERS}
BINDS: Mapping[str, int] = {DISK: 0}

LETTERS, REPEATS = 120, 3
DAEMONS = Daemons(
    ("clamav-daemon.service", "amavis.service", "postfix@-.service"),
    ("etc/clamav", "etc/spamassassin", "etc/amavis", "etc/postfix"), ("var/spool/postfix", "var/lib/amavis"),
    (10024, 10025, 25))


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (("messages a second, against the stock filter", fast),)


def prepare(bench: Bench) -> Variants:
    """The stock configuration, on the node's disk."""
    if bench.tree is None:
        raise CheckFailed("only a container can be measured against its stock configuration")
    disk = bench.mounts[DISK]
    site = stock.Site(at.NODE_FQDN, at.DOMAIN, at.NETWORK4, f"[{at.DELIVERY_NAME}]:{at.DELIVERY_PORT}", WORKERS)
    stock.lay_out(bench.tree, disk / STOCK, DAEMONS.folders, stock.filter_files(bench.tree, site))
    return Variants(bench.node, DAEMONS, disk)


def run(bench: Bench, node: Variants, name: str, count: int, rate: float = 0.0) -> Run:
    """Send, wait for all that was taken, count."""
    mark = secrets.token_hex(4)
    batch = [letters.letter(mark, number, USERS[number % 2].mail) for number in range(count)]
    before, begun, kept = node.usage(), time.time(), len(bench.sink.kept)
    outcomes = send(batch, Door(at.NODE4, connections=2 * WORKERS), rate)
    taken = sum(200 <= one.code < 300 for one in outcomes)
    until(lambda: len(bench.sink.kept) - kept >= taken, bench.patience, 0.05)
    after = node.usage()
    there: dict[int, float] = {}
    arrived: list[int] = []
    for envelope in bench.sink.kept[kept:]:
        for number in letters.numbers(envelope.content[:16384].decode("latin-1"), mark):
            arrived.append(number)
            there.setdefault(number, envelope.at)
    found = ledger.ledger(outcomes, arrived)
    due = {one.number: one.due for one in outcomes}
    return Run(name, len(there) / (max(there.values(), default=begun + 1) - begun), found,
               [seen - due[number] for number, seen in there.items()], [one.seconds for one in outcomes],
               usage.spent(before, after), {unit: one.memory for unit, one in after.items()},
               hops.times(node.log(begun)))


def fast(bench: Bench) -> str:
    """Both, in turn; the ratio of neighbours counts."""
    node = prepare(bench)
    return compared(bench, node, lambda name, count: run(bench, node, name, count),
                    Course((OURS, STOCK), REPEATS, LETTERS, 3 * WORKERS))


@dataclass(frozen=True)
class Course:
    """What is compared: configurations by name, ours first; how often; letters of a run, and of the one before it."""

    names: Sequence[str]
    repeats: int
    letters: int
    warm: int


def compared(bench: Bench, node: Variants, one: Callable[[str, int], Run], course: Course) -> str:
    """Figures of all configurations into the result; the detail is their summary.

    Args:
        one: a run of so many letters under that name.

    Raises:
        CheckFailed: a letter that was taken was lost, or arrived twice.
    """
    runs: dict[str, list[Run]] = {name: [] for name in course.names}
    for turn in range(course.repeats):
        # Who begins changes: what drifts over the minutes meets all.
        for name in course.names if turn % 2 else reversed(course.names):
            node.switch(name)
            one("warm", course.warm)
            runs[name].append(one(name, course.letters))
    node.switch(OURS)
    role, ours = bench.role.name, [done.rate for done in runs[OURS]]
    told = []
    for name, of in runs.items():
        found = medians([done.figures() for done in of])
        found["ratio"] = ratio(ours, [done.rate for done in of])
        bench.figures.update({f"{role}/{name}/{key}": value for key, value in found.items()})
        rates = ", ".join(f"{done.rate:.1f}" for done in of)
        told.append(f"{name} {rates} messages/s (ours / it: {found['ratio']:.2f})")
    for done in (done for of in runs.values() for done in of):
        if not done.ledger.whole:
            raise CheckFailed(f"{done.name}: {done.ledger}")
    return "; ".join(told)
