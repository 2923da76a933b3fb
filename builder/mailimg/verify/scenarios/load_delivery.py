"""Load on a delivery node, beside bare Postfix, LMTP and Dovecot of the distribution: `make bench-load`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.load import hops, ledger, letters, maildirs, stock, usage
from mailimg.load.figures import Run
from mailimg.load.generator import Door, send
from mailimg.load.variants import DISK, OURS, STOCK, Daemons, Variants
from mailimg.peers import addresses as at
from mailimg.peers.directory import User
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until
from mailimg.verify.scenarios.load_in import Course, compared

MAILBOXES = "/MAILBOXES"
TUNING: Mapping[str, Any] = {}
BINDS: Mapping[str, int] = {MAILBOXES: 5000, DISK: 0}

LETTERS, REPEATS, CONNECTIONS = 500, 3, 20
PEOPLE = tuple(User(f"load{number:02}", f"load{number:02}@{at.DOMAIN}") for number in range(40))
DAEMONS = Daemons(("dovecot.service", "postfix@-.service"), ("etc/dovecot", "etc/postfix"),
                  ("var/spool/postfix", "var/lib/dovecot"), (24, 25))


# Our functions with Dovecot's own settings in place of those for mailboxes that several servers share.
ALONE = "alone"
# Without one function each, or with another way to it: what it costs.
CONF, MAIN = "etc/dovecot/dovecot.conf", "etc/postfix/main.cf"
PLUGINS = "^  mail_plugins = acl quota sieve$"
WITHOUT: Mapping[str, str] = {
    "no-quota-answer": f"sed -i '/check_policy_service/d' {MAIN}",
    "no-sieve": f"sed -i 's/{PLUGINS}/  mail_plugins = acl quota/' {CONF}",
    "no-quota": f"sed -i '/check_policy_service/d' {MAIN}; sed -i 's/{PLUGINS}/  mail_plugins = acl sieve/' {CONF}",
    "no-lists": f"sed -i '/proxy:ldap:.*lists.cf/d' {MAIN}",
    # The quota counted from the indexes, and not kept in a file of the mailbox.
    "counted": f"sed -i 's/quota = maildir:limits:hidden/quota = count:limits:hidden/' {CONF}",
    # The full-text index filled by delivery, and not by the first search.
    "indexed": (f"sed -i 's/{PLUGINS}/  mail_plugins = $mail_plugins sieve/; "
                f"s/^  quota_grace/  fts_autoindex = yes\\n  quota_grace/' {CONF}"),
}
DERIVED: Mapping[str, str] = {ALONE: f"sed -i '/^mail_nfs_/d; /^lock_method/d' {CONF}", **WITHOUT}


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (("messages a second, against bare delivery and without each function", fast),)


def prepare(bench: Bench) -> Variants:
    """More people, and the bare configuration on the node's disk."""
    if bench.tree is None:
        raise CheckFailed("only a container can be measured against its stock configuration")
    bench.directory.add(PEOPLE)
    disk = bench.mounts[DISK]
    site = stock.Site(at.NODE_FQDN, at.DOMAIN, at.NETWORK4, mailboxes=f"{MAILBOXES}/bare")
    stock.lay_out(bench.tree, disk / STOCK, DAEMONS.folders, stock.delivery_files(bench.tree, site))
    return Variants(bench.node, DAEMONS, disk, DERIVED)


def run(bench: Bench, node: Variants, name: str, count: int, rate: float = 0.0) -> Run:
    """Send, wait until the queue is empty, count what lies in the mailboxes."""
    mark = secrets.token_hex(4)
    batch = [letters.letter(mark, number, PEOPLE[number % len(PEOPLE)].mail) for number in range(count)]
    before, begun = node.usage(), time.time()
    outcomes = send(batch, Door(at.NODE4, connections=CONNECTIONS), rate)
    if not until(lambda: node.queued() == 0, bench.patience, 0.2):
        raise CheckFailed(f"{name}: {node.queued()} messages wait:\n{bench.node.ask(['postqueue', '-p'])[-1000:]}")
    after = node.usage()
    found = maildirs.ask(bench.node, MAILBOXES, mark)
    there = dict(found)
    due = {one.number: one.due for one in outcomes}
    return Run(name, len(there) / (max(there.values(), default=begun + 1) - begun),
               ledger.ledger(outcomes, [number for number, _ in found]),
               [seen - due[number] for number, seen in there.items()], [one.seconds for one in outcomes],
               usage.spent(before, after), {unit: one.memory for unit, one in after.items()},
               hops.times(node.log(begun)))


def fast(bench: Bench) -> str:
    """All in turn; the ratio of neighbours counts."""
    node = prepare(bench)
    course = Course((OURS, STOCK, ALONE, *WITHOUT), REPEATS, LETTERS, len(PEOPLE))
    return compared(bench, node, lambda name, count: run(bench, node, name, count), course)
