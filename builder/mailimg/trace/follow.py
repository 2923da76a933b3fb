"""Follow one message by its ids: from what was found out, what else belongs to it; pure.

A message id is the same everywhere; a queue id is a node's own. Whoever hands a message on logs the next one's queue id
(`queued as`), so a queue id leads backward and forward. Dovecot's sessions and amavis' tasks have names too, without
which the lines in between would be nobody's; what the webmail sent is known by its user and the moment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from mailimg.errors import InputError, StepError
from mailimg.trace import daemons, events, filters, lines
from mailimg.trace.events import Event
from mailimg.trace.postfix import QUEUE_ID

# A message that was sent to thousands one by one has one message id and thousands of queue ids.
LIMIT = 2000
# Names of sessions and tasks come again: a process number does, after days.
NEAR = timedelta(minutes=30)
# By how much the clocks of two nodes may differ.
SKEW = timedelta(seconds=1)
MESSAGE_ID = re.compile(r"<(?P<whole>[^<>]+)>|(?P<bare>[^\s<>]+@[^\s<>]+)")


class Following:
    """What is known of the message; `feed` it lines, then look for `wanted`, until nothing is.

    Args:
        asked: a message id, with its angle brackets or without, or a queue id.

    Raises:
        InputError: it is neither.
    """

    def __init__(self, asked: str) -> None:
        asked = asked.strip()
        match = MESSAGE_ID.fullmatch(asked)
        if match is None and re.fullmatch(QUEUE_ID, asked) is None:
            raise InputError([f"{asked!r} is neither a message id nor a queue id"],
                             "A message id looks like <text@host>, a queue id like 4jXg7l64KVz4J.")
        self.message_id = f"<{match['whole'] or match['bare']}>" if match else ""
        self.queue_ids: set[str] = set() if match else {asked}
        self.sessions: dict[tuple[str, str], list[datetime]] = {}
        self.logins: dict[str, list[datetime]] = {}
        self.events: dict[tuple[int, int], Event] = {}
        self.parents: dict[str, Event] = {}
        self._searched: set[str] = set()

    def wanted(self) -> list[bytes]:
        """What to look for in all lines next: ids that were not looked for yet; empty when all is known.

        Raises:
            StepError: there is no end to it.
        """
        if len(self.queue_ids) > LIMIT:
            raise StepError(f"more than {LIMIT} queue ids belong to {self.message_id}",
                            "It was sent in many copies: ask for one of them by its queue id.")
        texts = set(self.queue_ids) | {session for _, session in self.sessions}
        texts |= {self.message_id[1:-1]} if self.message_id else set()
        texts |= {f"/SOGo/so/{user}/Mail/" for user in self.logins}
        new = texts - self._searched
        self._searched |= texts
        # As it stands in a text, and in JSON.
        forms = {form for text in new for form in (text, json.dumps(text)[1:-1])}
        return [form.encode() for form in sorted(forms)]

    def feed(self, line: bytes, place: str, written: datetime, order: tuple[int, int]) -> None:
        """One line that contains something that was wanted.

        Args:
            place: the node, where the line does not name it.
            written: about when the file was written last.
            order: number of the file, and place of the line in it.
        """
        if order in self.events:
            return
        record = lines.parse(line.decode(errors="replace"), written)
        event = None if record is None else daemons.event(record, place, order)
        if event is not None and self._belongs(event):
            self.events[order] = event
            self._learn(event)

    def _belongs(self, event: Event) -> bool:
        said = event.said
        if said.kind == events.BOUNCE and said.queue_id not in self.queue_ids:
            # Another message, of which ours is the bounce.
            if said.next_id in self.queue_ids:
                self.parents[said.next_id] = event
            return False
        if said.message_id and said.message_id == self.message_id:
            return True
        if {said.queue_id, said.next_id, said.previous_id} & self.queue_ids - {""}:
            return True
        if said.kind == events.WEBMAIL and said.delay is not None:
            # While it worked on that request, its user handed this message over.
            begun = event.time - timedelta(seconds=said.delay)
            return any(begun - SKEW <= time <= event.time + SKEW for time in self.logins.get(said.user, ()))
        # Of a session that was passed on, the other node's name is not said.
        times = [time for node in (event.node, "") for time in self.sessions.get((node, said.session), ())
                 if said.session]
        return any(abs(event.time - time) < NEAR for time in times)

    def _learn(self, event: Event) -> None:
        said = event.said
        self.queue_ids |= {said.queue_id, said.next_id, said.previous_id} - {""}
        if said.session:
            self.sessions.setdefault((event.node, said.session), []).append(event.time)
        if said.next_session:
            self.sessions.setdefault(("", said.next_session), []).append(event.time)
        if said.kind == events.CLIENT and said.user:
            self.logins.setdefault(said.user, []).append(event.time)

    def found(self) -> list[Event]:
        """All events of the message by time, without doubles; lines that a daemon had cut are whole again."""
        whole = rejoined(sorted(self.events.values(), key=lambda event: event.order))
        return sorted(unique(whole), key=lambda event: (event.time, event.order))


def rejoined(found: Iterable[Event]) -> list[Event]:
    """Lines that amavis had cut (`text...`, `(task) ...text`) as the one that they were."""
    whole: list[Event] = []
    for event in found:
        match = filters.AMAVIS.fullmatch(event.text)
        tail = match["rest"].removeprefix("...") if match and match["rest"].startswith("...") else None
        head = next((number for number in range(len(whole) - 1, -1, -1)
                     if tail is not None and whole[number].text.endswith("...")
                     and (whole[number].node, whole[number].said.session) == (event.node, event.said.session)), None)
        if tail is None or head is None:
            whole.append(event)
            continue
        text = whole[head].text.removesuffix("...") + tail
        whole[head] = replace(whole[head], text=text, said=filters.amavis(text) or whole[head].said)
    return whole


def unique(found: Iterable[Event]) -> list[Event]:
    """Each once, though a line stands in two files (`syslog` and `mail.log`), or was written in two ways at once."""
    kept: list[Event] = []
    seen: dict[tuple[str, str, events.Said], list[datetime]] = {}
    for event in found:
        times = seen.setdefault((event.node, event.pid, event.said), [])
        near = timedelta(seconds=1) if event.said.kind == events.NOTE else timedelta(0)
        if not any(abs(event.time - time) <= near for time in times):
            kept.append(event)
        times.append(event.time)
    return kept
