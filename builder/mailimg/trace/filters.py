"""Lines of what scans and signs: amavis, OpenDKIM, clamav-milter."""

from __future__ import annotations

import re

from mailimg.trace import events
from mailimg.trace.events import Said
from mailimg.trace.postfix import QUEUE_ID

# (process-number) or, for a later message of the same connection, (process-number-number).
AMAVIS = re.compile(r"\((?P<task>\d+-\d+(?:-\d+)?)\) (?P<rest>.*)", re.DOTALL)
DECIDED = re.compile(r"(?P<status>Passed|Blocked) (?P<what>.+?) \{(?P<actions>[^}]*)\}, (?P<rest>.*)", re.DOTALL)
RECIPIENTS = re.compile(r"<[^>]*> -> (?P<list><[^>]*>(?:,<[^>]*>)*)")
FORWARDED = re.compile(rf"(?:\S+ )?FWD (?:via SMTP: |from ).*\bqueued as (?P<id>{QUEUE_ID})\b", re.DOTALL)
CHECKING = re.compile(r"Checking: \S+ .*", re.DOTALL)
QUARANTINED = re.compile(r"local delivery: .* -> (?P<to>\S+), mbx=(?P<file>\S+)")
SIGNED = re.compile(rf"(?P<id>{QUEUE_ID}): (?P<words>.*)", re.DOTALL)
SCANNED = re.compile(rf"(?P<clean>Clean m|M)essage (?P<id>{QUEUE_ID}) from <[^>]*> to <(?P<to>[^>]*)> "
                     r"with subject '.*' message-id '(?P<mid>.*?)' date '.*?'(?: infected by (?P<virus>.*))?",
                     re.DOTALL)


def amavis(text: str) -> Said | None:
    """What amavis says of a message at log level 1; its own task number is the `session`."""
    match = AMAVIS.fullmatch(text)
    if match is None:
        return None
    task, rest = match["task"], match["rest"]
    decided = DECIDED.fullmatch(rest)
    if decided is not None:
        return _decided(task, decided)
    if rest.startswith("..."):
        # The tail of a line that was longer than amavis lets one be.
        return Said(events.NOTE, _field("Queue-ID", rest), words=rest, session=task,
                    message_id=_field("Message-ID", rest), next_id=_field("queued_as", rest).partition("/")[0])
    kept = QUARANTINED.fullmatch(rest)
    if kept is not None:
        return Said(events.NOTE, words=f"kept in {kept['file']}", session=task, place=kept["file"])
    forwarded = FORWARDED.fullmatch(rest)
    if forwarded is not None:
        return Said(events.NOTE, words=f"handed back as {forwarded['id']}", session=task, next_id=forwarded["id"])
    if CHECKING.fullmatch(rest):
        return Said(events.NOTE, words="checks it", session=task)
    return Said(events.NOTE, words=rest, session=task) if rest.startswith("(!") else None


def _decided(task: str, match: re.Match[str]) -> Said:
    """The line that says what became of it."""
    rest = match["rest"]
    told = RECIPIENTS.search(rest)
    place = _field("quarantine", rest)
    score, milliseconds = _field("Hits", rest), re.search(r"(\d+) ms\b", rest)
    words = f"{match['status']} {match['what']}" + (f", score {score}" if score else "")
    words += f", quarantine {place}" if place else ""
    return Said(events.FILTER, _field("Queue-ID", rest), recipient=told["list"] if told else "",
                status=match["status"].upper(), words=words, session=task, place=place,
                delay=int(milliseconds[1]) / 1000 if milliseconds else None,
                message_id=_field("Message-ID", rest), next_id=_field("queued_as", rest).partition("/")[0])


def _field(name: str, text: str) -> str:
    """The value of `name: value,`; empty without it."""
    match = re.search(rf"\b{re.escape(name)}: (?P<value><[^>]*>|[^,\s]+)", text)
    return match["value"] if match else ""


def opendkim(text: str) -> Said | None:
    """What OpenDKIM says of a message (SyslogSuccess)."""
    match = SIGNED.fullmatch(text)
    return Said(events.NOTE, match["id"], words=match["words"]) if match else None


def clamav_milter(text: str) -> Said | None:
    """What clamav-milter says of a message (LogInfected, LogClean: Full)."""
    match = SCANNED.fullmatch(text)
    if match is None:
        return None
    words = f"infected by {match['virus']}" if match["virus"] else "clean"
    return Said(events.NOTE, match["id"], recipient=match["to"], words=words, message_id=match["mid"])
