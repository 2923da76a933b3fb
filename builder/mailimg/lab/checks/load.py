"""Load through the whole chain at stated rates, counted letter by letter; what it costs each role.

The comparison with stock configurations is `make bench-load`'s: it needs a machine that does nothing else.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.mail import ANNA, BELA, FOREIGN, queues, queues_empty
from mailimg.load import hops, letters, maildirs, readers, usage
from mailimg.load.figures import Run, percentile
from mailimg.load.generator import Door, send
from mailimg.load.ledger import ledger
from mailimg.machines.node import Node

EXTRA = True  # minutes of a busy machine

RATE, SECONDS = 8.0, 20.0  # letters a second, for so long
FLOOD = 200  # letters, as fast as they are taken
CONNECTIONS, ROUNDS, WARM = 8, 5, 16
WAY_IN, WAY_OUT = ("smtp-in", "pop-imap-lda"), ("smtp-out",)


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return (
        (f"{RATE:g} messages a second are sent in, each arrives once", lambda bench: comes_in(bench, "in", RATE)),
        (f"{RATE:g} messages a second are sent out, each arrives once", lambda bench: goes_out(bench, "out", RATE)),
        ("more than the filters can take comes in, each once", lambda bench: comes_in(bench, "flood", 0.0)),
        ("people read meanwhile", people_read),
        ("nothing waits in a queue", empty),
    )


def comes_in(bench: Bench, name: str, rate: float) -> str:
    """From the Internet through balancer, filters, balancer and delivery into Maildirs."""
    people = (ANNA.mail, BELA.mail)
    door = Door(bench.address("smtp-in"), connections=CONNECTIONS, source=at.SENDER4)
    # Filter processes that have not seen a message yet take seconds for their first.
    send(_batch(0.0, lambda number: people[number % 2], letters.SENDER)[:WARM], door)
    if not queues_empty(bench, bench.patience):
        raise CheckFailed(queues(bench))
    batch = _batch(rate, lambda number: people[number % 2], letters.SENDER)
    return _measure(bench, name, WAY_IN, batch, door, rate, lambda mark: maildirs.ask(
        bench.first("pop-imap-lda"), "/MAILBOXES", mark))


def goes_out(bench: Bench, name: str, rate: float) -> str:
    """From a user, with a password over TLS, signed, to a mail host of the Internet."""
    batch = _batch(rate, lambda number: FOREIGN, ANNA.mail)
    door = Door(bench.host("smtp-out"), 587, CONNECTIONS, source=at.HOME4, tls=bench.tls, login=ANNA.login,
                password=bench.password)
    return _measure(bench, name, WAY_OUT, batch, door, rate, lambda mark: [
        (number, one.at) for one in bench.receiver.all() for number in letters.numbers(one.message_id, mark)])


def _batch(rate: float, recipient: Callable[[int], str], sender: str) -> list[letters.Letter]:
    count, mark = round(rate * SECONDS) if rate else FLOOD, secrets.token_hex(4)
    return [letters.letter(mark, number, recipient(number), sender=sender) for number in range(count)]


def _measure(bench: Bench, name: str, roles: Iterable[str], batch: Sequence[letters.Letter], door: Door, rate: float,
             arrivals: Callable[[str], list[tuple[int, float]]]) -> str:
    nodes = {node.name: bench.nodes[node.name] for role in roles for node in bench.of(role)}
    before = {one: usage.of_mail(usage.ask(node)) for one, node in nodes.items()}
    mark, begun = batch[0].run, time.time()
    outcomes = send(batch, door, rate)
    taken = {one.number for one in outcomes if 200 <= one.code < 300}
    until(lambda: taken <= {number for number, _ in arrivals(mark)}, bench.patience, 2)
    after = {one: usage.of_mail(usage.ask(node)) for one, node in nodes.items()}
    found = arrivals(mark)
    there, due = dict(found), {one.number: one.due for one in outcomes}
    cpu = {f"{one} {unit}": spent for one in nodes for unit, spent in usage.spent(before[one], after[one]).items()}
    memory = {f"{one} {unit}": used.memory for one in nodes for unit, used in after[one].items()}
    ways = {f"{one} {hop}": seconds for one, node in nodes.items()
            for hop, seconds in hops.times(log(node, begun)).items()}
    run = Run(name, len(there) / (max(there.values(), default=begun + 1) - begun),
              ledger(outcomes, [number for number, _ in found]),
              [seen - due[number] for number, seen in there.items()], [one.seconds for one in outcomes],
              cpu, memory, ways)
    bench.figures.update({f"load {name} {key}": value for key, value in run.figures().items()})
    each = {role: per_core(len(taken), cpu, [node.name for node in bench.of(role)]) for role in roles}
    bench.figures.update({f"load {name} {role} per core": value for role, value in each.items()})
    if not run.ledger.whole or run.ledger.refused or run.ledger.unanswered:
        raise CheckFailed(f"{run.ledger}\n{queues(bench)}")
    lines = [
        f"{run.ledger}; {run.rate:.1f}/s, {run.per_core:.1f} for a second of a core; seconds at the door p50 "
        f"{percentile(run.accept, 50):.2f} p99 {percentile(run.accept, 99):.2f}, to the end p50 "
        f"{percentile(run.latency, 50):.2f} p99 {percentile(run.latency, 99):.2f}",
        *[f"  {role}: {run.rate:.1f} messages/s, {value:.1f} for a second of a core" for role, value in each.items()],
        *[f"  {one}: p50 {percentile(seconds, 50):.2f} s, p99 {percentile(seconds, 99):.2f} s"
          for one, seconds in ways.items()],
        *[f"  {one}: {cpu.get(one, 0.0) / max(len(taken), 1) * 1000:.1f} ms of a core for a message, {used:.0f} MiB"
          for one, used in memory.items()],
    ]
    return "\n".join(lines)


def per_core(letters_taken: int, cpu: Mapping[str, float], nodes: Sequence[str]) -> float:
    """Letters for one second of processor time of a role, all of its nodes together.

    Args:
        cpu: seconds by node and unit, `smtp-in-1 postfix`.
    """
    spent = sum(seconds for name, seconds in cpu.items() if name.partition(" ")[0] in nodes)
    return letters_taken / spent if spent else 0.0


def log(node: Node, since: float) -> str:
    """What was logged of deliveries since then (seconds of the wall clock)."""
    command = f"journalctl --no-pager -o short-unix --since=@{since:.6f} | grep -F status=sent"
    return node.ask(["sh", "-c", f"{command} || [ $? = 1 ]"])


def people_read(bench: Bench) -> str:
    """By IMAP over TLS at the virtual address: log in, select, fetch, append."""
    kept = letters.letter(secrets.token_hex(4), 1, ANNA.mail).content
    told = readers.read(bench.host("imap"), bench.tls, bench.password, [ANNA.login, BELA.login] * 4, ROUNDS, kept)
    if told.refused:
        raise CheckFailed("\n".join(told.refused[:5]))
    for step, seconds in told.times.items():
        bench.figures.update({f"load imap {step} p50": percentile(seconds, 50),
                              f"load imap {step} p99": percentile(seconds, 99)})
    return f"{told.sessions / told.seconds:.1f} sessions/s; " + ", ".join(
        f"{step} p50 {1000 * percentile(seconds, 50):.0f} ms p99 {1000 * percentile(seconds, 99):.0f} ms"
        for step, seconds in told.times.items())


def empty(bench: Bench) -> str:
    """All that was taken has been handed on."""
    if not queues_empty(bench):
        raise CheckFailed(queues(bench))
    return "none"
