"""Each dependency is taken away under a steady flow: every message arrives once or is refused with 4xx, as promised."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

from mailimg.clients import letters
from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.mail import ANNA, from_internet, queues, queues_empty, stored
from mailimg.lab.checks.outages import OUTAGES
from mailimg.lab.checks.promises import PROMISES, Promise, Times, broken, seen, within
from mailimg.lab.checks.traffic import WAYS, Attempt, Traffic, copies, misdelivered
from mailimg.peers.directory import USERS

BEFORE_SECONDS = 1.5
RECOVERY_SECONDS = 60.0
# Emulated clients of NFS come back to a server that was away by and by.
EMULATED_RECOVERY_SECONDS = 180.0
DRAIN_SECONDS = 90.0
HANGS = 20.0
ANSWER_SECONDS = 75.0  # until each way has answered within the outage; Dovecot waits a minute for a silent directory
# Proved by the group `storage`.
STORAGE = ("storage, read-only", "storage, gone")
SHOWN = 10  # of messages that are not where they should be
QUEUES = ("smtp-in", "smtp-out", "pop-imap-lda")


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return (*((f"without {name}: {promise.what}", check(name, promise)) for name, promise in PROMISES.items()
              if name not in STORAGE),
            ("a virus that comes while clamd is away is caught when it is back", virus_waits))


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
            time.sleep(max(outage.seconds, 2 * traffic.pause))
            # Each way has to meet it, with a whole answer.
            until(lambda: all(answered(traffic, way, away) for way in WAYS), ANSWER_SECONDS, 0.2)
            outage.proof(bench)
            early = passed_by(bench, promise, traffic, away)
        finally:
            returning = time.monotonic()
            outage.start(bench)
        times = Times(stopping, away, returning, time.monotonic())
        patience = EMULATED_RECOVERY_SECONDS if bench.emulated else RECOVERY_SECONDS
        recovered = until(lambda: well_again(traffic.attempts, times.back), patience, 0.2)
        seconds = time.monotonic() - times.back
    finally:
        attempts = traffic.end()
    problems = early + broken(promise, attempts, times)
    met = seen(attempts, times)
    # Who had to wait for its end, as for a storage that is mounted hard, is told by `met`.
    waited = {one.way for one in attempts if times.away <= one.begun < times.returning < one.ended}
    problems += [f"{way}: nothing began within the outage" for way, inside in
                 within(attempts, times.away, times.returning).items() if not inside and way not in waited]
    if not recovered:
        problems.append(f"not everything works {patience:g} s after it came back")
    if not until(lambda: drained(bench), DRAIN_SECONDS, 0.5):
        problems.append(f"queues after {DRAIN_SECONDS:g} s:\n{queues(bench)}")
    problems += shortened(misdelivered(attempts, copies(bench, traffic.run), times.away if promise.twice else 0.0))
    if problems:
        raise CheckFailed("\n".join(problems))
    bench.figures[f"faults: recovery without {name}, s"] = round(seconds, 1)
    return f"{told(met)}; {counted(attempts)}; well again after {seconds:.1f} s"


def answered(traffic: Traffic, way: str, away: float) -> bool:
    """Whether a way has met what is away: by an answer, or by waiting for one, as for storage that is mounted hard."""
    now = time.monotonic()
    return bool(within(list(traffic.attempts), away, now)[way]) or away <= traffic.under_way.get(way, 0.0) < now - HANGS


def passed_by(bench: Bench, promise: Promise, traffic: Traffic, away: float) -> list[str]:
    """What is there already, of mail that has to wait until the dependency is back."""
    keys = {one.key for one in list(traffic.attempts) if one.way in promise.held and one.begun >= away}
    there = keys & set(copies(bench, traffic.run)) if keys else set()
    return shortened([f"{key} has passed it by" for key in sorted(there)])


def virus_waits(bench: Bench) -> str:
    """What nobody can look at waits before the filter, and is looked at then."""
    gate, clamd = bench.first("smtp-in"), OUTAGES["clamd"]
    folder = gate.role()["facts"]["amavis"]["quarantine"]
    sent = letters.virus(ANNA.mail)
    clamd.stop(bench)
    try:
        answer = from_internet(bench, sent, ANNA.mail)
        time.sleep(clamd.seconds)
        clamd.proof(bench)
    finally:
        clamd.start(bench)
    if not until(lambda: drained(bench), DRAIN_SECONDS, 0.5):
        raise CheckFailed(f"queues after {DRAIN_SECONDS:g} s:\n{queues(bench)}")
    if not until(lambda: bool(gate.files_with(folder, sent.message_id)), bench.patience):
        raise CheckFailed(f"not in quarantine after {bench.patience:g} s")
    if found := stored(bench, [user.login for user in USERS], sent.message_id):
        raise CheckFailed(f"it arrived: {', '.join(found)}")
    return f"{answer}; in quarantine"


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
