"""The way of a message: one hop for each queue id, from node to node; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from mailimg.trace import events
from mailimg.trace.events import Event


@dataclass
class Hop:
    """A message in the queue of a node.

    Attributes:
        number: the first hop is 1; where ways meet, the longest counts.
        events: by time; those of filter and mailboxes that name another id of the hop are among them.
        before, after: queue ids of hops that handed it over, and that it was handed to.
        bounce_of: queue id of the hop whose sender this message tells; empty if it is none that tells a sender.
        requeued_as: queue id that an administrator's `postsuper -r` gave it; empty if none did.
        forward_of: queue id of the hop whose recipient's filter sent it on; empty if none did.
    """

    queue_id: str
    node: str = ""
    number: int = 1
    events: list[Event] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    bounce_of: str = ""
    requeued_as: str = ""
    forward_of: str = ""

    @property
    def begun(self) -> datetime:
        """When the first line speaks of it."""
        return self.events[0].time

    def of(self, *kinds: str) -> list[Event]:
        """Events of these kinds, by time."""
        return [event for event in self.events if event.said.kind in kinds]

    def message_id(self) -> str:
        """Its message id; empty if no line says it."""
        return next((event.said.message_id for event in self.of(events.IDENTITY) if event.said.message_id), "")


def hops(found: Iterable[Event]) -> dict[str, Hop]:
    """Hops by queue id, in their order; an id that only the next hop's answer names is none."""
    found = list(found)
    ways = {event.said.queue_id: Hop(event.said.queue_id, event.node) for event in found if _opens(event)}
    sessions = {(event.node, event.said.session): event.said.queue_id for event in found
                if event.said.session and event.said.queue_id in ways}
    passed_on = {event.said.next_session: sessions.get((event.node, event.said.session), "") for event in found
                 if event.said.next_session}
    for event in found:
        said = event.said
        queue_id = said.queue_id or sessions.get((event.node, said.session), "") or passed_on.get(said.session, "")
        if queue_id in ways:
            ways[queue_id].events.append(event)
    for hop in ways.values():
        for event in hop.events:
            _connect(ways, hop, event)
    _forwards(ways)
    _number(ways)
    for hop in sorted(ways.values(), key=lambda hop: hop.number):
        # A bounce stays one from node to node.
        hop.bounce_of = hop.bounce_of or next((ways[one].bounce_of for one in hop.before), "")
    return dict(sorted(ways.items(), key=lambda way: (way[1].number, way[1].begun)))


def _opens(event: Event) -> bool:
    """Whether an event shows that the node has the message under its queue id."""
    return bool(event.said.queue_id) and event.said.kind not in (events.FILTER, events.STORED)


def _connect(ways: dict[str, Hop], hop: Hop, event: Event) -> None:
    said = event.said
    if said.kind == events.BOUNCE:
        if said.next_id in ways:
            ways[said.next_id].bounce_of = hop.queue_id
        return
    for one, other in ((hop.queue_id, said.next_id), (said.previous_id, hop.queue_id)):
        if one in ways and other in ways and one != other and other not in ways[one].after:
            ways[one].after.append(other)
            ways[other].before.append(one)
    if said.kind == events.LOCAL and said.previous_id in ways:
        ways[said.previous_id].requeued_as = hop.queue_id


def _forwards(ways: dict[str, Hop]) -> None:
    """What a filter of a node sent on begins as a program's message of that node."""
    for hop in ways.values():
        if hop.before or not hop.of(events.LOCAL):
            continue
        recipients = {event.said.recipient for event in hop.of(events.DELIVERY)}
        for other in ways.values():
            if any(event.node == hop.node and event.said.status == "forwarded" and event.said.place in recipients
                   for event in other.of(events.STORED)):
                hop.forward_of = other.queue_id


def _number(ways: dict[str, Hop]) -> None:
    """Number along the ways; a loop (it would take one message in the same queue twice) ends by the count of hops."""
    for _ in ways:
        changed = False
        for hop in ways.values():
            behind = [one for one in (*hop.before, hop.forward_of, hop.bounce_of) if one]
            number = 1 + max((ways[one].number for one in behind), default=0)
            if number != hop.number and number <= len(ways):
                hop.number, changed = number, True
        if not changed:
            return
