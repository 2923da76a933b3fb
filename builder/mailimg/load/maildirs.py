"""What arrived in Maildirs, and when: the name of a message's file begins with the second it was made at."""

from __future__ import annotations

import re

from mailimg.machines.node import Node

# A line of `grep -H`: .../new/<seconds>.M<microseconds>P<process>...:Message-ID: <load.<run>.<number>@; Dovecot never
# changes that part of the name.
LINE = re.compile(r"^\S*/(?:new|cur)/(\d+)\.M(\d+)\S*:Message-ID: <load\.[0-9a-f]+\.(\d+)@", re.MULTILINE)


def ask(node: Node, folder: str, run: str) -> list[tuple[int, float]]:
    """Number and time (seconds of the wall clock) of each of the run's letters in the Maildirs below `folder`.

    Raises:
        StepError: no SSH connection.
    """
    # Files vanish from `new` while others look: only what was found counts.
    return parse(node.ask(["grep", "-rHoE", "-m1", f"^Message-ID: <load\\.{run}\\.[0-9]+@", folder], check=False))


def parse(text: str) -> list[tuple[int, float]]:
    """Lines of grep; what is not in a mailbox (an index, a spool) is none of them."""
    return [(int(number), int(seconds) + int(micros) / 1e6) for seconds, micros, number in LINE.findall(text)]
