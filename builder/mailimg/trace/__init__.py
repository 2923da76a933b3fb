"""Follow one message through the logs of all nodes.

    lines  ->  events  ->  follow  ->  hops  ->  verdict
    what, where, when      ids         ways      what became of each recipient

Only `sources` touches files. A search is repeated with what the one before it found out, until nothing new is: three or
four passes for most messages. So no line is kept that does not belong to the message, however large the logs are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailimg.errors import StepError
from mailimg.trace import sources
from mailimg.trace.events import Event
from mailimg.trace.follow import Following
from mailimg.trace.hops import Hop, hops
from mailimg.trace.sources import Searched
from mailimg.trace.verdict import Verdict, verdicts

__all__ = ["Trace", "trace"]


@dataclass(frozen=True)
class Trace:
    """All that is known of a message.

    Attributes:
        asked: the id that it was asked for by.
        events: by time.
        hops: by queue id.
        verdicts: one for each recipient and copy; `bounces`: of the messages that tell senders.
        parents: by queue id of a hop that is itself a bounce: the line that says of what.
    """

    asked: str
    events: tuple[Event, ...]
    hops: dict[str, Hop]
    verdicts: tuple[Verdict, ...]
    bounces: tuple[Verdict, ...]
    parents: dict[str, Event]
    searched: Searched


def trace(asked: str, places: Sequence[Path], report: Callable[[str], None] = lambda line: None) -> Trace:
    """Follow a message.

    Args:
        asked: a message id or a queue id.
        places: files and folders with logs.
        report: gets one line a pass.

    Raises:
        InputError: what is asked for is no id, or there is no log.
        StepError: no line speaks of it, or there is no end to it.
    """
    following = Following(asked)
    searched = Searched()
    files = sources.find(places, searched)
    begun = time.monotonic()
    while needles := following.wanted():
        searched.passes += 1
        report(f"search {searched.files} files, pass {searched.passes}")
        for number, source in enumerate(files):
            for at, line in sources.search(source, needles, searched):
                following.feed(line, source.place, source.written, (number, at))
        if not following.events:
            break
    searched.seconds = time.monotonic() - begun
    found = following.found()
    ways = hops(found)
    if not ways:
        raise StepError(f"{asked} is in none of {searched.lines:,} lines of {searched.files} files",
                        "Are these the logs of all nodes, and do they reach back far enough?")
    return Trace(asked, tuple(found), ways, tuple(verdicts(ways)), tuple(verdicts(ways, bounces=True)),
                 following.parents, searched)
