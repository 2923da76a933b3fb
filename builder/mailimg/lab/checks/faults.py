"""Each dependency is taken away under a steady flow: every message arrives once or is refused with 4xx, as promised."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.mail import queues, queues_empty
from mailimg.lab.checks.outages import OUTAGES
from mailimg.lab.checks.promises import PROMISES, Promise, Times, broken, seen
from mailimg.lab.checks.traffic import WAYS, Attempt, Traffic, copies, misdelivered

BEFORE_SECONDS = 1.5
RECOVERY_SECONDS = 60.0
DRAIN_SECONDS = 90.0
# Proved by the group `storage`.
STORAGE = ("storage, read-only", "storage, gone")
SHOWN = 10  # of messages that are not where they should be
QUEUES = ("smtp-in", "smtp-out", "pop-imap-lda")


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return tuple((f"without {name}: {promise.what}", check(name, promise)) for name, promise in PROMISES.items()
                 if name not in STORAGE)


def check(name: str, promise: Promise) -> Callable[[Bench], str]:
    """The check of one dependency."""
    return lambda bench: without(bench, name, promise)


def without(bench: Bench, name: str, promise: Promise) -> str:
    """Take it away, give it back, and look where every message is."""
    outage = OUTAGES[name]
    traffic = Traffic(bench, secrets.token_hex(4))
    traffic.start()
    try:
        time.sleep(BEFORE_SECONDS)
        stopping = time.monotonic()
        try:
            outage.stop(bench)
            away = time.monotonic()
            # Each way has to meet it.
            time.sleep(max(outage.seconds, 2 * traffic.pause))
            outage.proof(bench)
        finally:
            returning = time.monotonic()
            outage.start(bench)
        times = Times(stopping, away, returning, time.monotonic())
        recovered = until(lambda: well_again(traffic.attempts, times.back), RECOVERY_SECONDS, 0.2)
        seconds = time.monotonic() - times.back
    finally:
        attempts = traffic.end()
    problems = broken(promise, attempts, times)
    met = seen(attempts, times)
    problems += [f"{way}: nothing met the outage" for way in WAYS if not met[way]]
    if not recovered:
        problems.append(f"not everything works {RECOVERY_SECONDS:g} s after it came back")
    if not until(lambda: drained(bench), DRAIN_SECONDS, 0.5):
        problems.append(f"queues after {DRAIN_SECONDS:g} s:\n{queues(bench)}")
    problems += shortened(misdelivered(attempts, copies(bench, traffic.run), times.away if promise.twice else 0.0))
    if problems:
        raise CheckFailed("\n".join(problems))
    bench.figures[f"faults: recovery without {name}, s"] = round(seconds, 1)
    return f"{told(met)}; {counted(attempts)}; well again after {seconds:.1f} s"


def shortened(problems: Sequence[str]) -> list[str]:
    """The first of many of a kind, and how many more there are."""
    rest = len(problems) - SHOWN
    return [*problems[:SHOWN], *([f"and {rest} more"] if rest > 0 else [])]


def well_again(attempts: Sequence[Attempt], back: float) -> bool:
    """Whether each way served what began after everything was back."""
    return all(any(one.served for one in list(attempts) if one.way == way and one.begun > back) for way in WAYS)


def drained(bench: Bench) -> bool:
    """Whether all queues are empty; what waits is tried at once."""
    for role in QUEUES:
        for node in bench.of(role):
            bench.nodes[node.name].ask(["postqueue", "-f"])
    return queues_empty(bench, 2)


def told(met: dict[str, tuple[str, ...]]) -> str:
    """What was answered, by way."""
    return ", ".join(f"{way} {'/'.join(codes)}" for way, codes in met.items())


def counted(attempts: Sequence[Attempt]) -> str:
    """How many messages there were."""
    mail = [one for one in attempts if one.key]
    taken = sum(one.served for one in mail)
    return f"{len(mail)} messages, {taken} taken and there once, {len(mail) - taken} put off"
