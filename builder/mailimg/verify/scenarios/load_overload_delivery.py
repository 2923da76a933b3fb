"""More than a mailbox server can take: it says 4xx, and what it took is filed once. See tests/boot/test_load.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.load import maildirs
from mailimg.verify.scenarios import Bench, Check
from mailimg.verify.scenarios.load_overload import Next, full_queue

MAILBOXES = "/MAILBOXES"
TUNING: Mapping[str, Any] = {}
BINDS: Mapping[str, int] = {MAILBOXES: 5000}
# MiB: `queue_minfree` of roles/pop-imap-lda/templates/main.cf.j2.
RESERVE_MIB = 100


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (("a full queue puts mail off, empties itself and loses nothing", full_queue_delays),)


def full_queue_delays(bench: Bench) -> str:
    """Nothing leaves the queue while Dovecot is away; when it is back, so is all that was put off."""
    return full_queue(bench, Next("dovecot.service", 24), RESERVE_MIB, filed)


def filed(bench: Bench, mark: str) -> list[int]:
    """Numbers in the Maildirs."""
    return [number for number, _ in maildirs.ask(bench.node, MAILBOXES, mark)]
