"""What people and programs get of a trace; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mailimg.trace import Trace, events
from mailimg.trace.events import Event
from mailimg.trace.verdict import DEFERRED, UNKNOWN, Verdict

SCHEMA = 1


def document(found: Trace) -> dict[str, Any]:
    """The machine-readable form; times are ISO 8601 in UTC, delays in seconds."""
    return {
        "schema": SCHEMA,
        "asked": found.asked,
        "message_ids": message_ids(found),
        "sender": sender(found),
        "recipients": [verdict_document(found, one) for one in found.verdicts],
        "bounces": [verdict_document(found, one) for one in found.bounces],
        "hops": [{"queue_id": hop.queue_id, "node": hop.node, "number": hop.number, "begun": moment(hop.begun),
                  "before": hop.before, "after": hop.after, "bounce_of": hop.bounce_of or parent(found, hop.queue_id),
                  "forward_of": hop.forward_of}
                 for hop in found.hops.values()],
        "events": [event_document(event) for event in found.events],
        "searched": asdict(found.searched),
    }


def verdict_document(found: Trace, one: Verdict) -> dict[str, Any]:
    """A verdict with its times as texts, and the seconds from the first line about that copy to this end."""
    since = None if one.since is None else moment(one.since)
    return {**asdict(one), "time": moment(one.time), "since": since, "seconds": round(seconds(found, one), 6)}


def seconds(found: Trace, one: Verdict) -> float:
    """From the first line about a copy to what became of it."""
    hop = found.hops[one.queue_id]
    for _ in found.hops:
        above = next((found.hops[name] for name in (*hop.before, hop.forward_of) if name), None)
        if above is None:
            break
        hop = above
    return (one.time - hop.begun).total_seconds()


def event_document(event: Event) -> dict[str, Any]:
    """An event; empty facts are left out."""
    facts = {name: value for name, value in asdict(event.said).items() if value not in ("", None)}
    return {"time": moment(event.time), "node": event.node, "daemon": event.daemon, "pid": event.pid, **facts}


def moment(time: datetime) -> str:
    """A time as text."""
    return time.isoformat(timespec="milliseconds")


def message_ids(found: Trace) -> list[str]:
    """Of the message, not of its bounces; more than one where a node changed it."""
    return list(dict.fromkeys(hop.message_id() for hop in found.hops.values()
                              if hop.message_id() and not hop.bounce_of))


def sender(found: Trace) -> str:
    """What the first hop says of the sender; empty if none does."""
    told = [event.said.words for hop in found.hops.values() for event in hop.of(events.ACTIVE)]
    return told[0] if told else ""


def parent(found: Trace, queue_id: str) -> str:
    """The queue id that a hop is the bounce of, where that one is not followed."""
    told = found.parents.get(queue_id)
    return "" if told is None else told.said.queue_id


def text(found: Trace) -> Iterator[str]:
    """The lines for people; words of logs are never cut."""
    yield from head(found)
    yield ""
    yield from timeline(found)
    yield ""
    for one in found.verdicts:
        yield from verdict(found, one)
    for one in found.bounces:
        yield from verdict(found, one, "bounce to ")
    yield ""
    yield searched(found)


def head(found: Trace) -> Iterator[str]:
    """Which message it is."""
    first = next(iter(found.hops.values()))
    ids = message_ids(found) or ["(its message id is not logged)"]
    yield f"message {', '.join(ids)}"
    if sender(found):
        yield f"        {sender(found)}"
    copies = [hop for hop in found.hops.values() if not hop.before and not hop.bounce_of and not hop.forward_of]
    more = f", {len(copies)} copies" if len(copies) > 1 else ""
    hops = "1 hop" if len(found.hops) == 1 else f"{len(found.hops)} hops"
    yield f"        {hops}{more}, first seen {moment(first.begun)} on {first.node}"
    for queue_id, event in found.parents.items():
        yield f"        {queue_id} is a bounce: of {event.said.queue_id} on {event.node} ({event.said.words})"


def timeline(found: Trace) -> Iterator[str]:
    """One line an event; the date stands where it changes."""
    sessions = {(event.node, event.said.session): hop.queue_id for hop in found.hops.values() for event in hop.events
                if event.said.session}
    rows = []
    # Logs with whole seconds: what the message reached later stands later.
    numbers = {hop.queue_id: hop.number for hop in found.hops.values()}

    def place(event: Event) -> str:
        return event.said.queue_id or sessions.get((event.node, event.said.session), "")

    for event in sorted(found.events, key=lambda event: (event.time, numbers.get(place(event), 0), event.order)):
        queue_id = place(event)
        rows.append((event.time, (event.node, queue_id, event.daemon.removeprefix("postfix/")), what(event)))
    widths = [max(len(row[1][column]) for row in rows) for column in range(3)]
    day = None
    for time, columns, words in rows:
        if time.date() != day:
            day = time.date()
            yield f"{day.isoformat()} (UTC)"
        cells = "  ".join(cell.ljust(width) for cell, width in zip(columns, widths, strict=True))
        yield clean(f"{time:%H:%M:%S}.{time.microsecond // 1000:03}  {cells}  {words}")


def what(event: Event) -> str:
    """What happened, in words."""
    said = event.said
    if said.kind == events.DELIVERY:
        original = f" (for <{said.original}>)" if said.original and said.original != said.recipient else ""
        way = f"{said.status} {said.dsn} by {said.relay} after {said.delay:g} s"
        return f"<{said.recipient}>{original}: {way}: {said.words}"
    if said.kind == events.REJECT:
        return f"<{said.recipient}>: {said.words} ({' '.join(filter(None, (said.status, said.dsn)))})"
    if said.kind == events.FILTER and said.delay is not None:
        return f"{said.words}, {said.delay:g} s"
    return said.words


def verdict(found: Trace, one: Verdict, prefix: str = "") -> Iterator[str]:
    """What became of it for one recipient."""
    through = f" (through {one.list})" if one.list else ""
    state = one.state
    if state == UNKNOWN:
        state = f"unknown after hop {one.hop}"
    elif state == DEFERRED and one.since is not None:
        state = f"deferred since {moment(one.since)}, {one.tries} tries" if one.tries else "deferred by its sender"
    else:
        state = f"{state} after {seconds(found, one):.1f} s"
    yield clean(f"{prefix}{one.recipient}{through}: {state}: {one.words}")
    if one.bounce:
        yield f"    its sender is told by {one.bounce}"


def searched(found: Trace) -> str:
    """How much was read, and how fast."""
    told = found.searched
    rate = f"{told.lines / told.seconds:,.0f} lines a second" if told.seconds > 0 else "at once"
    size = f"{told.lines:,} lines, {told.octets / 2**20:,.1f} MiB"
    return f"searched {told.files} files, {told.passes} times: {size} in {told.seconds:.2f} s, {rate}"


def clean(words: str) -> str:
    """Without characters that a terminal would obey: what others wrote stands in logs."""
    return "".join(char if char.isprintable() else "?" for char in words)
