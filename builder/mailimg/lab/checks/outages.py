"""How a lab's dependencies are taken away, and given back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailimg.clients import mailbox
from mailimg.errors import StepError
from mailimg.lab import addresses as at
from mailimg.lab import balancer
from mailimg.lab.checks import Bench, CheckFailed, until
from mailimg.lab.checks.mail import ANNA
from mailimg.lab.plan import NodePlan

MAILBOXES = "/MAILBOXES"
# Seconds until the others take a silent server's users over: 45 of silence, their own next look, a busy machine.
TAKEN_OVER = 90.0
# Without systemd-resolved there is nothing that keeps answers.
FORGET = "if command -v resolvectl > /dev/null; then resolvectl flush-caches; fi"


@dataclass(frozen=True)
class Outage:
    """How one dependency is taken away.

    Attributes:
        how: in words.
        seconds: that it stays away, at least.
        proof: raises CheckFailed if it is not away.
    """

    how: str
    stop: Callable[[Bench], None]
    start: Callable[[Bench], None]
    seconds: float = 4.0
    proof: Callable[[Bench], None] = lambda bench: None


def peer(name: str, how: str) -> Outage:
    """A server that is no node."""
    return Outage(how, lambda bench: _done(bench.stop(name)), lambda bench: _done(bench.start(name)))


def unit(role: str, services: Sequence[str]) -> Outage:
    """Services of all nodes of a role, by their names in role.yaml."""

    def each(bench: Bench, verb: str) -> None:
        for node in bench.of(role):
            ssh = bench.nodes[node.name]
            facts = ssh.role()["facts"]
            ssh.ask(["systemctl", verb, *(facts[service]["unit"] for service in services)])

    def proof(bench: Bench) -> None:
        for node in bench.of(role):
            ssh = bench.nodes[node.name]
            facts = ssh.role()["facts"]
            states = [ssh.ask(["systemctl", "is-active", facts[service]["unit"]], check=False).strip()
                      for service in services]
            if set(states) & {"active", "activating"}:
                raise CheckFailed(f"{', '.join(services)} of {node.name}: {', '.join(states)} again")

    return Outage(f"the service is stopped on {role}", lambda bench: each(bench, "stop"),
                  lambda bench: each(bench, "start"), proof=proof)


def no_names(bench: Bench) -> None:
    """No name server, and nothing left of what was known: as after hours, when connections that idled have ended."""
    bench.stop("dns")
    for node in bench.plan.nodes:
        bench.nodes[node.name].ask(["sh", "-euc", FORGET])
    for node in bench.of("smtp-out"):
        ssh = bench.nodes[node.name]
        ssh.ask(["systemctl", "restart", ssh.role()["facts"]["saslauthd"]["unit"]])


def storage(how: str, away: Sequence[str], back: Sequence[str]) -> Outage:
    """What the mailbox servers have mounted; a command on each."""

    def each(bench: Bench, command: Sequence[str]) -> None:
        for node in bench.of("pop-imap-lda"):
            def done(name: str = node.name) -> bool:
                try:
                    bench.nodes[name].ask(command)
                except StepError:  # busy: a file is being written at this moment
                    return False
                return True
            if not until(done, 10, 0.1):
                bench.nodes[node.name].ask(command)

    return Outage(how, lambda bench: each(bench, away), lambda bench: each(bench, back))


def no_storage(bench: Bench) -> None:
    """The storage server has no power; where there is none, nothing is mounted on the mailbox servers."""
    if server := bench.of("nfs"):
        bench.kill(server[0].name)
    else:
        NOT_MOUNTED.stop(bench)


def storage_back(bench: Bench) -> None:
    """It boots, with its volume; or the mount is back."""
    if server := bench.of("nfs"):
        bench.start(server[0].name)
    else:
        NOT_MOUNTED.start(bench)


def silent(role_names: Sequence[str], address: str) -> Outage:
    """An address that answers nothing, as nodes of some roles see it: what they send goes to a card that nobody has."""

    def each(bench: Bench, command: str) -> None:
        for node in (node for role in role_names for node in bench.of(role)):
            card = f"$(ip -o route get {address} | sed 's/.* dev \\([^ ]*\\) .*/\\1/')"
            bench.nodes[node.name].ask(["sh", "-euc", command.format(address=address, card=card)])

    away = "ip neigh replace {address} lladdr 02:00:00:00:00:01 dev {card} nud permanent"
    back = "ip neigh del {address} dev {card}"
    return Outage("packets to it vanish, and no connection is refused", lambda bench: each(bench, away),
                  lambda bench: each(bench, back), 15.0)


class LostServer:
    """The mailbox server that a user's mail is worked on by loses its power; the others take its users over."""

    def __init__(self) -> None:
        self._name = ""

    def cut(self, bench: Bench) -> None:
        """End it, whoever's it is at the moment."""
        self._name = works_for(bench, ANNA.login)
        bench.kill(self._name)

    def taken_over(self, bench: Bench) -> None:
        """The user's mailbox is served while the server is still away."""
        other = next(one for one in bench.of("pop-imap-lda") if one.name != self._name)
        if not until(lambda: works_for(bench, ANNA.login, other) == other.name, TAKEN_OVER, 1.0):
            raise CheckFailed(f"{other.name} has not taken over the users of {self._name} after {TAKEN_OVER:g} s")
        with mailbox.imap(bench.tls, ANNA.login, bench.password, bench.host("imap"), at.HOME4) as client:
            client.select("INBOX")

    def back(self, bench: Bench) -> None:
        """It boots; clients who came to it may come again, as after a while."""
        bench.start(self._name)
        balancer.forget(bench.peer_folder("balancer"), bench.plan)


def works_for(bench: Bench, login: str, asked: NodePlan | None = None) -> str:
    """The mailbox server that works on a user's mail, as one of them, the first by default, knows it."""
    node = asked or bench.of("pop-imap-lda")[0]
    told = bench.nodes[node.name].ask(["doveadm", "auth", "lookup", "-x", "service=imap", "-x", "lport=143", login])
    passed_on = re.search(r"hostip *: (\S+)", told)
    if passed_on is None:
        return node.name
    return next(one.name for one in bench.of("pop-imap-lda") if one.address4 == passed_on[1])


LOST = LostServer()
NOT_MOUNTED = storage("a closed mount point lies over /MAILBOXES, as after a lost mount",
                      ["mount", "-t", "tmpfs", "-o", "mode=0,size=64k", "closed", MAILBOXES], ["umount", MAILBOXES])
OUTAGES = {
    "directory": peer("domain", "the domain controller is ended"),
    "directory, silent": silent(("smtp-in", "smtp-out", "pop-imap-lda", "sogo"), at.DC4),
    "DNS": Outage("the name server is ended, and the nodes forget what it said", no_names,
                  lambda bench: _done(bench.start("dns")), 20.0),
    "storage, read-only": storage("/MAILBOXES is mounted anew, read-only",
                                  ["mount", "-o", "remount,bind,ro", MAILBOXES],
                                  ["mount", "-o", "remount,bind,rw", MAILBOXES]),
    "storage, gone": Outage("the storage server's power is cut; without one, nothing is mounted", no_storage,
                            storage_back),
    "clamd": unit("smtp-in", ["clamd"]),
    "clamd, outwards": unit("smtp-out", ["clamd"]),
    "amavis": unit("smtp-in", ["amavis"]),
    "saslauthd": unit("smtp-out", ["saslauthd"]),
    "OpenDKIM": unit("smtp-out", ["opendkim"]),
    "MariaDB": unit("sogo", ["mariadb"]),
    "memcached": unit("sogo", ["memcached"]),
    "the other pop-imap-lda": Outage("its power is cut", LOST.cut, LOST.back, 6.0, LOST.taken_over),
}


def _done(told: object) -> None:
    """The supervisor's answer is the proof; its content is for people."""
    del told
