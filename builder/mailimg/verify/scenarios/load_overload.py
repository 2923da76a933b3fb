"""More than a server can take: it says 4xx, and what it took arrives once. See tests/boot/test_load.py."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.load import letters
from mailimg.load.generator import Door, Outcome, send
from mailimg.load.ledger import Ledger, ledger
from mailimg.load.letters import Letter
from mailimg.peers import addresses as at
from mailimg.peers.directory import USERS
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until

TUNING: Mapping[str, Any] = {"amavis_workers": 2}

# The queue's own file system: what `queue_minfree` keeps free of it, and room for a third of what will be sent.
ROOM_MIB, RESERVE_MIB = 8, 256
SIZE, LETTERS, ROUNDS = 384 << 10, 40, 4
SPOOL = "/var/spool/postfix"

Arrived = Callable[[Bench, str], list[int]]


@dataclass(frozen=True)
class Next:
    """A service that mail goes to from the queue: its unit, and its port on loopback."""

    unit: str
    port: int


# A stranger with more connections than he may make in a minute (60), each with one letter.
CROWD = 80


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (
        ("a client with too many connections is put off", crowd_delayed),
        ("a full queue puts mail off, empties itself and loses nothing", full_queue_delays),
    )


def batch(count: int, attachment: int = letters.ATTACHMENT) -> tuple[str, list[Letter]]:
    """The mark of a run, and its letters."""
    mark = secrets.token_hex(4)
    return mark, [letters.letter(mark, number, USERS[number % 2].mail, attachment) for number in range(count)]


def arrived(bench: Bench, mark: str) -> list[int]:
    """Numbers at the delivery layer."""
    return [number for one in list(bench.sink.kept)
            for number in letters.numbers(one.content[:16_384].decode("latin-1"), mark)]


def accounted(bench: Bench, mark: str, outcomes: Sequence[Outcome], there: Arrived = arrived) -> Ledger:
    """What became of a run's letters.

    Raises:
        CheckFailed: one was refused for good, not answered, lost, or is there twice.
    """
    taken = {one.number for one in outcomes if 200 <= one.code < 300}
    until(lambda: taken <= set(there(bench, mark)), bench.patience)
    found = ledger(outcomes, there(bench, mark))
    if not found.whole or found.refused or found.unanswered or found.doubtful:
        raise CheckFailed(f"{found}; queue: {bench.node.ask(['postqueue', '-p'])[-1500:]}")
    return found


def crowd_delayed(bench: Bench) -> str:
    """421: connections beyond the limit, and soon the limit of connections a minute."""
    mark, some = batch(CROWD)
    outcomes = send(some, Door(at.NODE4, connections=CROWD, each=1, source=at.SENDER4))
    found = accounted(bench, mark, outcomes)
    if not found.later or not found.taken:
        raise CheckFailed(f"{CROWD} connections at once: {found}")
    return str(found)


def full_queue_delays(bench: Bench) -> str:
    """Nothing leaves the queue while the filter is away; when it is back, so is all that was put off."""
    return full_queue(bench, Next("amavis.service", 10024), RESERVE_MIB)


def full_queue(bench: Bench, after: Next, reserve: int, there: Arrived = arrived) -> str:
    """More letters than the queue's file system has room for, while nothing leaves it; in the end each is there once.

    Args:
        after: the service that mail goes to from the queue.
        reserve: MiB that Postfix keeps free there (`queue_minfree`).
        there: numbers of the letters that arrived.

    Raises:
        CheckFailed: a letter was refused for good, is lost, or is there twice.
    """
    node = bench.node
    node.ask(["systemctl", "stop", "postfix@-.service", after.unit])
    node.ask(["bash", "-c", f"set -eu; mount -t tmpfs -o size={ROOM_MIB + reserve}M,mode=755 queue /mnt; "
                            f"cp -a {SPOOL}/. /mnt/; mount --bind /mnt {SPOOL}; umount /mnt; "
                            "systemctl start postfix@-.service"])
    mark, some = batch(LETTERS, SIZE)
    door = Door(at.NODE4, connections=4)
    outcomes = send(some, door)
    node.ask(["systemctl", "start", after.unit])
    listens = f"until (echo > /dev/tcp/127.0.0.1/{after.port}) 2> /dev/null; do sleep 0.2; done"
    node.ask(["timeout", "60", "bash", "-c", f"{listens}; postqueue -f"])
    first = whole = accounted(bench, mark, outcomes, there)
    if not first.later or not first.taken:
        raise CheckFailed(f"{LETTERS} letters into {ROOM_MIB} MiB: {first}")
    for _ in range(ROUNDS):
        # As their senders would.
        later = {one.number for one in outcomes if 400 <= one.code < 500}
        again = send([one for one in some if one.number in later], door)
        outcomes = [*(one for one in outcomes if one.number not in later), *again]
        whole = accounted(bench, mark, outcomes, there)
    if whole.later:
        raise CheckFailed(f"after {ROUNDS} more tries: {whole}")
    node.ask(["systemctl", "stop", "postfix@-.service"])
    node.ask(["umount", SPOOL])
    node.ask(["systemctl", "start", "postfix@-.service"])
    return f"first {first}; in the end {whole}"
