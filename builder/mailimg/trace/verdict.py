"""What became of each recipient; pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from mailimg.trace import events
from mailimg.trace.events import Event
from mailimg.trace.hops import Hop

DELIVERED, DEFERRED, BOUNCED, QUARANTINED = "delivered", "deferred", "bounced", "quarantined"
REJECTED, FORWARDED, DISCARDED, DELETED, UNKNOWN = "rejected", "forwarded", "discarded", "deleted", "unknown"
# RFC 1918, RFC 4193, loopback, link-local: a host of our own, and no stranger to whom a message was handed over.
OWN = [ipaddress.ip_network(net) for net in
       ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16",
        "fc00::/7", "fe80::/10", "::1/128")]
RELAY = re.compile(r"(?P<name>[^\[]*)\[(?P<address>[^\]]+)\](?::(?P<port>\d+))?")
NOBODY = "?"


@dataclass(frozen=True)
class Verdict:
    """What became of a message for one recipient.

    Attributes:
        recipient: `?` where no line names one.
        list: the address that it came to the recipient through, if it was another one.
        words: where it is, or why not; the remote's own words where it has some.
        node, queue_id, hop: where that was decided.
        time: when.
        since: of what waits: since when.
        tries: of what waits: how often delivery was attempted.
        bounce: queue id of the message that tells the sender.
    """

    recipient: str
    state: str
    words: str
    node: str
    queue_id: str
    hop: int
    time: datetime
    list: str = ""
    since: datetime | None = None
    tries: int = 0
    dsn: str = ""
    bounce: str = ""


def verdicts(ways: Mapping[str, Hop], bounces: bool = False) -> list[Verdict]:
    """One for each recipient and copy, in the order of their ways.

    Args:
        bounces: those of the messages that tell senders, in place of the message's own.
    """
    found = [one for hop in ways.values() if not hop.before and bool(hop.bounce_of) == bounces
             for one in _refused(hop) + list(_outcomes(ways, hop, frozenset()))]
    ended = {one.recipient for one in found if one.state != DEFERRED}
    # Once each, though a person and the list that holds him lead to the same; not who was told to come again, and came.
    return list({(one.queue_id, one.recipient, one.state, one.time): one for one in found
                 if not (one.state == DEFERRED and not one.tries and one.recipient in ended)}.values())


def _refused(hop: Hop) -> list[Verdict]:
    """Recipients that were refused where the message came in; further on, its sender's own line tells it."""
    found = []
    for event in hop.of(events.REJECT):
        said = event.said
        if said.status.startswith("4"):
            words = f"{hop.node} told its sender to come again: {said.words}"
            found.append(_verdict(hop, event, said.recipient, DEFERRED, words, since=event.time))
        else:
            found.append(_verdict(hop, event, said.recipient, REJECTED, f"{hop.node} refused it, {said.words}"))
    return found


def _verdict(hop: Hop, event: Event, recipient: str, state: str, words: str, *, since: datetime | None = None,
             tries: int = 0, bounce: str = "") -> Verdict:
    said = event.said
    original = said.original if said.original.lower() != recipient.lower() else ""
    return Verdict(recipient or NOBODY, state, words, hop.node, hop.queue_id, hop.number, event.time, original,
                   since, tries, said.dsn, bounce)


def _outcomes(ways: Mapping[str, Hop], hop: Hop, above: frozenset[str]) -> Iterator[Verdict]:
    """What became of the recipients of a hop, here or further on."""
    attempts: dict[tuple[str, str], list[Event]] = {}
    for event in hop.of(events.DELIVERY):
        attempts.setdefault((event.said.recipient, event.said.original), []).append(event)
    for tried in attempts.values():
        yield from _outcome(ways, hop, tried, above | {hop.queue_id}, {name.lower() for name, _ in attempts})
    if not attempts and not hop.of(events.REJECT):
        yield _waiting(hop)


def _outcome(ways: Mapping[str, Hop], hop: Hop, tried: list[Event], above: frozenset[str],
             names: set[str]) -> Iterator[Verdict]:
    last = tried[-1]
    said, recipient = last.said, last.said.recipient
    if said.status == "sent":
        yield from _sent(ways, hop, last, above, names)
        return
    bounce = next((event.said.next_id for event in hop.of(events.BOUNCE)), "")
    given_up = [event for event in hop.of(events.EXPIRED) if event.time >= last.time]
    if said.status == "deferred" and not given_up:
        yield from _deferred(ways, hop, tried, above)
        return
    words = f"{given_up[-1].said.words}: {said.words}" if given_up else said.words
    yield _verdict(hop, last, recipient, BOUNCED, words, bounce=bounce)


def _deferred(ways: Mapping[str, Hop], hop: Hop, tried: list[Event], above: frozenset[str]) -> Iterator[Verdict]:
    """Still in the queue, unless an administrator thought otherwise."""
    recipient, words = tried[-1].said.recipient, tried[-1].said.words
    again = ways.get(hop.requeued_as)
    if again is not None and hop.requeued_as not in above:
        yield from (one for one in _outcomes(ways, again, above)
                    if one.recipient == NOBODY or recipient.lower() in (one.recipient.lower(), one.list.lower()))
        return
    # Postfix removes nothing that somebody waits for: it was an administrator, also where the log names no postsuper.
    deleted = hop.of(events.DELETED, events.REMOVED)
    if deleted:
        yield _verdict(hop, deleted[-1], recipient, DELETED, f"by an administrator: removed, on {hop.node}")
        return
    # The last word counts: held, or released again.
    held = [event.said.kind == events.HELD for event in hop.of(events.HELD, events.RELEASED)][-1:] == [True]
    since = next(event.time for event in tried if event.said.status == "deferred")
    yield _verdict(hop, tried[-1], recipient, DEFERRED, f"held on {hop.node}; {words}" if held else words, since=since,
                   tries=len(tried))


def _sent(ways: Mapping[str, Hop], hop: Hop, last: Event, above: frozenset[str], names: set[str]) -> Iterator[Verdict]:
    """Handed over: to the next hop, to a mailbox, into quarantine, to a stranger."""
    said = last.said
    further = ways.get(said.next_id)
    if further is not None and said.next_id not in above:
        found = list(_outcomes(ways, further, above))
        mine = [one for one in found if said.recipient.lower() in (one.recipient.lower(), one.list.lower())]
        # Of a list whose name is not logged: all that is nobody else's.
        yield from mine or [one for one in found if one.recipient.lower() not in names - {said.recipient.lower()}]
        return
    blocked = [event for event in hop.of(events.FILTER)
               if event.said.status == "BLOCKED" and f"<{said.recipient.lower()}>" in event.said.recipient.lower()]
    if blocked and not said.next_id:
        kept = blocked[-1].said
        # The line that decides names the file below the quarantine folder; another one of its task names it whole.
        files = [event.said.place for event in hop.of(events.NOTE) if event.said.session == kept.session]
        place = next((file for file in files if file.endswith(kept.place)), kept.place)
        words = f"{kept.words.partition(', quarantine ')[0]}, on {hop.node}"
        yield _verdict(hop, last, said.recipient, QUARANTINED if place else DISCARDED,
                       f"{place}: {words}" if place else words)
        return
    if said.session:
        yield from _filed(hop, last)
        return
    relay = RELAY.match(said.relay)
    own = relay is not None and _own(relay["address"])
    if said.next_id and own:
        words = f"handed over to {said.relay} as {said.next_id}, of which no log tells"
        yield _verdict(hop, last, said.recipient, UNKNOWN, words)
    else:
        yield _verdict(hop, last, said.recipient, DELIVERED, f"to {said.relay}: {said.words}")


def _filed(hop: Hop, last: Event) -> Iterator[Verdict]:
    """What Dovecot did with what it took."""
    said = last.said
    sessions = {said.session} | {event.said.next_session for event in hop.events if event.said.session == said.session}
    filed = [event for event in hop.of(events.STORED) if event.said.session in sessions]
    done = [event.said for event in filed]
    stored = [one for one in done if one.status == "stored"]
    words = "; ".join(dict.fromkeys(one.words for one in done)) or "taken by Dovecot, which does not say where to"
    state = DELIVERED
    if done and not stored:
        state = FORWARDED if any(one.status == "forwarded" for one in done) else DISCARDED
    yield _verdict(hop, last, said.recipient, state, f"{words}, on {filed[-1].node if filed else hop.node}")


def _waiting(hop: Hop) -> Verdict:
    """Of a hop that tells nothing of any recipient."""
    decided = hop.of(events.DISCARDED, events.DELETED, events.HELD)
    if decided:
        last = decided[-1]
        state = {events.DISCARDED: DISCARDED, events.DELETED: DELETED, events.HELD: DEFERRED}[last.said.kind]
        since = last.time if state == DEFERRED else None
        return _verdict(hop, last, last.said.recipient, state, last.said.words, since=since, tries=1)
    last = hop.events[-1]
    active = "in the queue" if hop.of(events.ACTIVE) else "not all of it came: it is not in the queue"
    return _verdict(hop, last, "", UNKNOWN, f"{active} of {hop.node}; the last that is known: {last.said.words}")


def _own(address: str) -> bool:
    """Whether an address is one of a private network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in net for net in OWN if net.version == parsed.version)
