"""The mailboxes' storage: two servers write to one mailbox, and the storage goes away under a steady flow.

With `--storage nfs` that is NFS with its kernels, and a storage server without power; else a folder and a closed mount.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mailimg.clients import letters, mailbox, smtp
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, faults, outages, until
from mailimg.lab.checks.access import CLIENTS
from mailimg.lab.checks.mail import BELA, SENDER, taken
from mailimg.lab.checks.promises import PROMISES
from mailimg.lab.plan import NodePlan
from mailimg.peers.directory import USERS
from mailimg.peers.platform import MASTER

AGREED = 30.0  # seconds: two reports of a server
EACH = 20  # messages that each server gets, one after the other
# What Dovecot says of an index or a list of UIDs that another server changed under its hands.
DAMAGE = re.compile(r"dovecot.*(?:[Cc]orrupted|[Bb]roken|[Ff]scking|Log synchronization error|reappeared in Maildir"
                    r"|[Dd]uplicate file|UIDVALIDITY changed|(?:view is now|is) inconsistent|Stale NFS|Panic)")


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return (("each user's mail is worked on by one server", assigned),
            ("two servers file into one mailbox at once", both_deliver),
            *((f"without {name}: {PROMISES[name].what}", outage(name)) for name in faults.STORAGE))


def outage(name: str) -> Check:
    """The storage is away, and no index is damaged by that."""

    def check(bench: Bench) -> str:
        before = damage(bench)
        told = faults.without(bench, name, PROMISES[name])
        undamaged(bench, before)
        return told

    return check


def assigned(bench: Bench) -> str:
    """All servers say the same of every user, after the next report at the latest; and sessions are there.

    Wherever they come in, and whether the user logs in or a master user.
    """
    told: dict[str, set[str]] = {}

    def agreed() -> bool:
        told.update({user.login: {outages.works_for(bench, user.login, asked=node) for node in bench.of("pop-imap-lda")}
                     for user in USERS})
        return all(len(servers) == 1 for servers in told.values())

    if not until(agreed, AGREED, 1.0):
        raise CheckFailed(f"the servers do not agree: {told}")
    for login, password in ((BELA.login, bench.password), (f"{BELA.login}*{MASTER}", bench.passwords["master"])):
        for source in CLIENTS:
            with mailbox.imap(bench.tls, login, password, bench.host("imap"), source):
                servers = {node.name for node in bench.of("pop-imap-lda") if BELA.login in sessions(bench, node)}
            if servers != told[BELA.login]:
                raise CheckFailed(f"{login} from {source} is at {servers}, and not at {told[BELA.login]}")
    return ", ".join(f"{login} by {min(servers)}" for login, servers in told.items())


def sessions(bench: Bench, node: NodePlan) -> list[str]:
    """Logins whose sessions work on a server's mailboxes; those that it passes on are not among them."""
    told = bench.nodes[node.name].ask(["doveadm", "-f", "tab", "who", "-1"])
    return [line.split("\t")[0] for line in told.splitlines()[1:]]


def both_deliver(bench: Bench) -> str:
    """The same user's mail to both servers at the same time; then both show the same messages under the same UIDs."""
    before, mark = damage(bench), secrets.token_hex(8)

    def deliver(node: NodePlan) -> None:
        for number in range(EACH):
            sent = letters.letter(f"{mark} {node.name} {number}", BELA.mail, b"one of many\r\n", sender=SENDER)
            taken(smtp.deliver(node.address4, at.GATEWAY4, SENDER, BELA.mail, sent.content))

    servers = bench.of("pop-imap-lda")
    with ThreadPoolExecutor() as both:
        list(both.map(deliver, servers))
    wanted = {f"{mark} {node.name} {number}" for node in servers for number in range(EACH)}
    shown: dict[str, list[tuple[str, str]]] = {}

    def all_there() -> bool:
        shown.update({node.name: listed(bench, node, mark) for node in servers})
        return all(len(one) >= len(wanted) for one in shown.values())

    until(all_there, bench.patience)
    for name, messages in shown.items():
        subjects = sorted(subject for _, subject in messages)
        if subjects != sorted(wanted):
            different = len(set(subjects) & wanted)
            raise CheckFailed(f"{name} shows {len(subjects)} messages, {different} of {len(wanted)}")
    first, *others = shown.values()
    if any(one != first for one in others):
        raise CheckFailed(f"UIDs differ: {shown}")
    undamaged(bench, before)
    return f"{EACH} by each of {len(servers)} servers, each there once, with one UID; no index is damaged"


def listed(bench: Bench, node: NodePlan, mark: str) -> list[tuple[str, str]]:
    """UIDs and subjects of these messages, as one server has them."""
    told = bench.nodes[node.name].ask(["doveadm", "-f", "tab", "fetch", "-u", BELA.login, "uid hdr.subject", "mailbox",
                                       "INBOX", "subject", mark])
    rows = [line.split("\t") for line in told.splitlines()[1:]]
    return sorted((row[0], row[1]) for row in rows)


def damage(bench: Bench) -> list[str]:
    """Lines of the mailbox servers' journals that tell of damage."""
    found = []
    for node in bench.of("pop-imap-lda"):
        with (bench.state.node_folder(node.name) / "journal").open(errors="replace") as journal:
            found += [line.strip() for line in journal if DAMAGE.search(line)]
    return found


def undamaged(bench: Bench, before: Sequence[str]) -> None:
    """Nothing was damaged since."""
    if new := [line for line in damage(bench) if line not in before]:
        raise CheckFailed("\n".join(["the logs tell of damage:", *faults.shortened(new)]))
