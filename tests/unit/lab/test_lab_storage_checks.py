"""The checks of the mailboxes' storage: what counts as damage, and how the storage is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lab_world
import pytest

from mailimg.lab.checks import faults, outages, storage
from mailimg.lab.plan import NodePlan, Plan


@pytest.mark.parametrize("line", [
    "dovecot[812]: lmtp(anna)<x>: Error: Corrupted transaction log file /i/dovecot.index.log seq 2: Unexpected end",
    "dovecot[812]: imap(anna)<x>: Error: Log synchronization error at seq=2,offset=40 for /i/dovecot.index",
    "dovecot[812]: lmtp(anna)<x>: Error: Broken file /m/dovecot-uidlist line 3: Invalid data:",
    "dovecot[812]: imap(anna)<x>: Warning: /m/dovecot-uidlist: Duplicate file entry at line 4: 17.M1 (uid 3 -> 5)",
    "dovecot[812]: lmtp(anna)<x>: Warning: fscking index file /i/dovecot.index",
    "dovecot[812]: imap(anna)<x>: Warning: Maildir /m: Expunged message reappeared in Maildir, giving a new UID",
])
def test_damage(line: str) -> None:
    assert storage.DAMAGE.search(f"2026-11-22T10:00:00 pop-imap-lda-1 {line}")


@pytest.mark.parametrize("line", [
    "dovecot[812]: lmtp(anna)<x>: msgid=<1@a>: saved mail to INBOX",
    "dovecot[812]: auth: Error: ldap(anna,10.0.0.1): Connection appears to be hanging, reconnecting",
    "postfix/smtpd[9]: warning: corrupted",
])
def test_no_damage(line: str) -> None:
    assert not storage.DAMAGE.search(f"2026-11-22T10:00:00 pop-imap-lda-1 {line}")


class Told:
    """Notes what is done to nodes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes = {node.name: Shell(node.name, self) for node in plan.nodes}
        self.done: list[str] = []

    def of(self, role: str) -> list[NodePlan]:
        return self.plan.of(role)

    def kill(self, name: str) -> None:
        self.done.append(f"kill {name}")

    def start(self, name: str) -> None:
        self.done.append(f"start {name}")


class Shell:
    def __init__(self, name: str, told: Told) -> None:
        self.name, self.told = name, told

    def ask(self, argv: Sequence[str]) -> str:
        self.told.done.append(f"{argv[0]} on {self.name}")
        return ""


@pytest.mark.parametrize(("kind", "done"), [
    ("nfs", ["kill nfs-1", "start nfs-1"]),
    ("bind", ["mount on pop-imap-lda-1", "mount on pop-imap-lda-2", "umount on pop-imap-lda-1",
              "umount on pop-imap-lda-2"]),
])
def test_storage_goes_and_comes(kind: str, done: list[str]) -> None:
    bench: Any = Told(lab_world.made(storage=kind))
    outage = outages.OUTAGES["storage, gone"]
    outage.stop(bench)
    outage.start(bench)
    assert bench.done == done


def test_of_many_problems_the_first_are_shown() -> None:
    many = [f"message {number}" for number in range(faults.SHOWN + 3)]
    assert faults.shortened(many) == [*many[:faults.SHOWN], "and 3 more"]
    assert faults.shortened(many[:faults.SHOWN]) == many[:faults.SHOWN]
