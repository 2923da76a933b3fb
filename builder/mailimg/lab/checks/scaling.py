"""A group of smtp-out servers goes from three to one and back to three under a flow of numbered letters.

The receiving side puts off 30 % of what it is offered, so that there is mail in every queue when a server leaves. Each
server leaves as in a cloud, by `mailimg-firstboot leave`, and is switched off when it has left. HAProxy takes who does
not answer out of its backends; Heat and pools of Octavia are not part of a lab (tests/boot/test_scale_in.py has them).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.mail import ANNA, FOREIGN, queues
from mailimg.load import letters
from mailimg.load.generator import DOUBTFUL, Door, Outcome, send
from mailimg.peers import domain

EXTRA = True  # needs --nodes smtp-out=3
ROLE = "smtp-out"
LETTERS, RATE, PUT_OFF = 1000, 10.0, 0.3
CONNECTIONS = 6
# Longer than `leave` takes with the lab's waits (site.LEAVE) on a busy machine.
LEAVE_SECONDS, DRAIN_SECONDS = 300.0, 240.0
AGAIN_SECONDS = 2.0
SPOOL = ("find", "/var/spool/postfix/active", "/var/spool/postfix/deferred", "/var/spool/postfix/hold",
         "/var/spool/postfix/incoming", "/var/spool/postfix/maildrop", "-type", "f")


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return ((f"{LETTERS} letters through {ROLE} while it goes from three to one and back arrive", three_one_three),)


class Sender(threading.Thread):
    """A user's program that hands letters over at a rate, and again what was not taken, until all are."""

    def __init__(self, bench: Bench, batch: Sequence[letters.Letter], rate: float) -> None:
        super().__init__(daemon=True)
        self.batch, self.rate = batch, rate
        self.outcomes: list[Outcome] = []
        self.door = Door(bench.host(ROLE), 587, CONNECTIONS, source=at.HOME4, tls=bench.tls, login=ANNA.login,
                         password=bench.password)

    def run(self) -> None:
        """All of them."""
        left, rate = list(self.batch), self.rate
        while left:
            told = send(left, self.door, rate)
            self.outcomes += told
            taken = {one.number for one in told if 200 <= one.code < 300}
            left = [one for one in left if one.number not in taken]
            rate = 0.0
            time.sleep(AGAIN_SECONDS if left else 0)

    @property
    def doubtful(self) -> int:
        """Letters that were sent whole without an answer: these may be there twice."""
        return sum(one.code == DOUBTFUL for one in self.outcomes)


def three_one_three(bench: Bench) -> str:
    """Send, let two leave, bring them back, and count."""
    servers = [node.name for node in bench.of(ROLE)]
    if len(servers) != 3:
        raise CheckFailed(f"there are {len(servers)} servers of {ROLE}; start the lab with --nodes {ROLE}=3")
    told: list[str] = []

    def shrink() -> None:
        told.extend(leave(bench, name) for name in servers[1:])

    def grow() -> None:
        for name in servers[1:]:
            bench.start(name)

    return "; ".join([under_load(bench, RATE, shrink, grow), *told])


def under_load(bench: Bench, rate: float, shrink: Callable[[], None], grow: Callable[[], None]) -> str:
    """Letters flow while servers leave and come: all must arrive, and nothing may be left in a queue.

    Args:
        rate: letters a second; so few that they still come when the last server has left.
        shrink, grow: change the servers of the role, and return when that is done.

    Raises:
        CheckFailed: letters are lost, left, or there twice without need; or they were through too early.
    """
    servers = [node.name for node in bench.of(ROLE)]
    mark = secrets.token_hex(4)
    batch = [letters.letter(mark, number, FOREIGN, sender=ANNA.mail) for number in range(LETTERS)]
    sender, begun = Sender(bench, batch, rate), time.monotonic()
    bench.receiver.defer(PUT_OFF)
    try:
        sender.start()
        until(lambda: len(arrived(bench, mark)) > LETTERS // 20, bench.patience, 0.2)
        shrink()
        during = len(arrived(bench, mark))
        grow()
        sender.join(bench.patience + LETTERS / rate)
        if sender.is_alive():
            raise CheckFailed(f"not all letters are taken; queues:\n{queues(bench)}")
        until(lambda: all_there(bench, mark, servers), DRAIN_SECONDS, 1)
    finally:
        bench.receiver.defer(0.0)
    found = arrived(bench, mark)
    lost = sorted(set(range(LETTERS)) - set(found))
    waiting = {name: left for name in servers if (left := spool(bench, name))}
    twice = sum(count - 1 for count in found.values())
    if lost or waiting:
        raise CheckFailed(f"{len(lost)} letters lost: {lost[:10]}; left in queues: {waiting}\n{queues(bench)}")
    if twice > sender.doubtful:
        raise CheckFailed(f"{twice} letters arrived more than once, and {sender.doubtful} only were left unanswered")
    if not 0 < during < LETTERS:
        raise CheckFailed(f"the letters did not span the change: {during} had arrived when one server was left")
    bench.figures["scaling: seconds"] = round(time.monotonic() - begun, 1)
    return (f"{len(found)} distinct letters, {twice} of them twice; {len(sender.outcomes) - LETTERS} times handed over "
            f"again; {during} had arrived when one server was left")


def arrived(bench: Bench, mark: str) -> Counter[int]:
    """Numbers of letters at the receiver, each as often as it is there."""
    return Counter(number for one in bench.receiver.all() for number in letters.numbers(one.message_id, mark))


def all_there(bench: Bench, mark: str, servers: Sequence[str]) -> bool:
    """Whether all letters are there and no queue holds one; what waits is tried at once."""
    if len(arrived(bench, mark)) == LETTERS and not any(spool(bench, name) for name in servers):
        return True
    for name in servers:
        bench.nodes[name].ask(["postqueue", "-f"])
    return False


def leave(bench: Bench, name: str) -> str:
    """One server leaves the platform and is switched off.

    Raises:
        CheckFailed: something of it stays behind.
    """
    node, begun = bench.nodes[name], time.monotonic()
    account = accounts(bench, name)
    queued = len(spool(bench, name))
    node.ask(["mailimg-firstboot", "leave"], timeout=LEAVE_SECONDS)
    left = spool(bench, name)
    if left:
        raise CheckFailed(f"{name} has left with mail in its queue: {left}")
    if len(account) != 1 or accounts(bench, name):
        raise CheckFailed(f"computer accounts of {name}: {account} before, {accounts(bench, name)} after")
    bench.stop(name)
    return f"{name} left in {time.monotonic() - begun:.0f} s, {queued} in its queue when it began"


def spool(bench: Bench, name: str) -> list[str]:
    """Files of a server's mail queue."""
    return bench.nodes[name].ask([*SPOOL]).split()


def accounts(bench: Bench, name: str) -> list[str]:
    """Computer accounts in the directory that were made for a server."""
    uuid = bench.plan.node(name).uuid
    return [account for account, entry in domain.computers(bench.peer_folder("domain")).items()
            if uuid in entry.get("description", "") + entry.get("info", "")]
