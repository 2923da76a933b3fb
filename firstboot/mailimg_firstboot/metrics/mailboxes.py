"""Dovecot's sessions. Users' names and addresses are counted here and go no further."""

from collections import Counter
from typing import Counter as Counts
from typing import Set, Tuple

from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import PATIENCE, View

# What users log in to. A service beside these (lmtp, where it counts its clients) is told as well.
SERVICES = ("imap", "pop3", "sieve")


def collect(view: View, samples: Samples) -> None:
    """Ask Dovecot's own list of connections, which both 2.2 and 2.3 keep."""
    done = view.host.run(["doveadm", "-f", "tab", "who", "-1"], "ask Dovecot for its sessions", PATIENCE)
    sessions, users = who(done.out.decode("utf-8", "replace"))
    for service in SERVICES:
        sessions.setdefault(service, 0)
    for service, number in sessions.items():
        samples.add("dovecot_sessions", number, service=service)
    samples.add("dovecot_users", users)


def who(text: str) -> Tuple[Counts[str], int]:
    """Sessions by service, and how many users they belong to, in what `doveadm -f tab who -1` prints.

    Raises:
        ValueError: it is another table.
    """
    lines = text.splitlines()
    if not lines:
        return Counter(), 0
    head = lines[0].split("\t")
    if head[:2] != ["username", "proto"]:
        raise ValueError("doveadm who printed another table: {}".format(", ".join(head)[:80]))
    rows = [line.split("\t") for line in lines[1:] if line]
    names: Set[str] = {row[0] for row in rows}
    return Counter("sieve" if row[1] == "managesieve" else row[1] for row in rows), len(names)
