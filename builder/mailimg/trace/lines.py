"""One line of a log, in whatever form it was written: who said what, where and when.

Forms: RFC 3164 with or without a year, with or without its priority; the same with an ISO 8601 time (rsyslog's, and
`journalctl -o short-iso`, `short-full`); RFC 5424; `journalctl -o json`; SOGo's own, which names no host.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

MONTHS = {name: number for number, name in enumerate(
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1)}
# What may still be taken for a clock that is ahead of the file's own time, and not for a line of last year.
AHEAD = timedelta(days=2)

PRIORITY = r"(?:<\d{1,3}>)?"
ISO = r"(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)\s?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?"
MONTH = rf"(?P<month>{'|'.join(MONTHS)})"
CLOCK = r"(?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
OLD = rf"(?:(?P<before>\d{{4}}) )?{MONTH} +(?P<day>\d{{1,2}}) (?:(?P<after>\d{{4}}) )?{CLOCK}(?: (?P<behind>\d{{4}}))?"
SAID = r"(?P<daemon>[^\s\[\]:]+)(?: ?\[(?P<pid>\d+)\])?: ?(?P<text>.*)"
HEAD = re.compile(rf"{PRIORITY}(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(?:{ISO}|{OLD}) (?P<rest>.*)", re.DOTALL)
HOSTED = re.compile(rf"(?P<host>[^\s\[\]:]+(?::[^\s\[\]]+)?) {SAID}", re.DOTALL)
HOSTLESS = re.compile(SAID, re.DOTALL)
# <PRI>VERSION TIME HOST APP PROCID MSGID, then structured data and the message.
RFC5424 = re.compile(rf"{PRIORITY}1 (?:{ISO}|-) (?P<host>\S+) (?P<daemon>\S+) (?P<pid>\S+) \S+ (?P<rest>[-\[].*)",
                     re.DOTALL)
STRUCTURED = re.compile(r'(?:-|(?:\[(?:[^"\]\\]|"(?:[^"\\]|\\.)*")*\])+)(?: \ufeff?(?P<text>.*))?', re.DOTALL)


@dataclass(frozen=True)
class Record:
    """What a line says.

    Attributes:
        node: host name without its domain; empty if the line names none.
        time: in UTC; of a line without a zone it is taken to be UTC.
        daemon: as it names itself: `postfix/smtpd`, `amavis`, `dovecot`.
        pid: its process; empty if the line does not say.
    """

    node: str
    time: datetime
    daemon: str
    pid: str
    text: str


def parse(line: str, written: datetime) -> Record | None:
    """The record of a line without its line end; None if it is in no known form.

    Args:
        written: about when the file was written last, in UTC; says the year where a line does not.
    """
    if line.startswith("{"):
        return _journal(line)
    modern = RFC5424.fullmatch(line)
    if modern is not None:
        return _rfc5424(modern)
    head = HEAD.fullmatch(line)
    if head is None:
        return None
    time = _time(head, written)
    said = HOSTED.fullmatch(head["rest"])
    if said is None:
        said = HOSTLESS.fullmatch(head["rest"])
    if time is None or said is None:
        return None
    return Record(short(said.groupdict().get("host") or ""), time, said["daemon"], said["pid"] or "", said["text"])


def short(host: str) -> str:
    """A host's name without its domain; an address stays whole."""
    return host if re.fullmatch(r"[\d.]+|.*:.*", host) else host.partition(".")[0]


def _rfc5424(match: re.Match[str]) -> Record | None:
    said = STRUCTURED.fullmatch(match["rest"])
    time = None if match["iso"] is None else _iso(match)
    if said is None or time is None:
        return None
    pid = match["pid"] if match["pid"].isdigit() else ""
    host = "" if match["host"] == "-" else short(match["host"])
    # rsyslog keeps the blank that stood behind the colon of RFC 3164.
    return Record(host, time, match["daemon"], pid, (said["text"] or "").removeprefix(" "))


def _journal(line: str) -> Record | None:
    try:
        entry: dict[str, Any] = json.loads(line)
        # Microseconds since 1970; the moment of the program's own call where the journal knows it.
        moment = entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry["__REALTIME_TIMESTAMP"]
        time = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(_first(moment)))
        daemon = _first(entry.get("SYSLOG_IDENTIFIER") or entry.get("_COMM") or "")
        pid = _first(entry.get("SYSLOG_PID") or entry.get("_PID") or "")
        return Record(short(_first(entry.get("_HOSTNAME") or "")), time, daemon, pid, _text(entry.get("MESSAGE")))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _first(value: Any) -> str:
    """A field that occurs more than once is an array."""
    return str(value[0] if isinstance(value, list) else value)


def _text(value: Any) -> str:
    """A message; one that is no clean UTF-8 is an array of bytes."""
    if isinstance(value, list) and value and isinstance(value[0], int):
        return bytes(value).decode(errors="replace")
    return "" if value is None else _first(value)


def _time(match: re.Match[str], written: datetime) -> datetime | None:
    if match["iso"]:
        return _iso(match)
    hour, minute, second = map(int, match["clock"].split(":"))
    micro = int((match["fraction"] or "0")[:6].ljust(6, "0"))
    year = match["before"] or match["after"] or match["behind"]
    # 29 February has no place in most years: look back to one that has it.
    for candidate in [int(year)] if year else range(written.year + 1, written.year - 8, -1):
        try:
            time = datetime(candidate, MONTHS[match["month"]], int(match["day"]), hour, minute, second, micro, UTC)
        except ValueError:
            continue
        if year or time <= written + AHEAD:
            return time
    return None


def _iso(match: re.Match[str]) -> datetime | None:
    """None of a time that no calendar has, as a leap second's 60."""
    text, _, fraction = match["iso"].replace(",", ".").partition(".")
    zone = (match["zone"] or "Z").replace(":", "")
    try:
        time = datetime.fromisoformat(text).replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))
        if zone in ("Z", "UTC"):
            return time.replace(tzinfo=UTC)
        minutes = int(zone[1:3]) * 60 + int(zone[3:5])
        away = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
        return time.replace(tzinfo=away).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
