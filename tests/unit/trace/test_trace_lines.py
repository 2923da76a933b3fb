"""Lines of logs in all their forms say the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from mailimg.trace.lines import Record, parse

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
TEXT = "4jXg7l64KVz4J: message-id=<a@sender.example>"
SECOND = datetime(2026, 11, 22, 20, 6, 27, tzinfo=UTC)
EXACT = SECOND.replace(microsecond=871_234)


@pytest.mark.parametrize(("line", "time"), [
    # RFC 3164, as rsyslog and `journalctl -o short` write it; with a year, before or behind; with a priority
    (f"Nov 22 20:06:27 mx-1 postfix/cleanup[314]: {TEXT}", SECOND),
    (f"<22>Nov 22 20:06:27 mx-1 postfix/cleanup[314]: {TEXT}", SECOND),
    (f"Nov 22 2026 20:06:27 mx-1 postfix/cleanup[314]: {TEXT}", SECOND),
    (f"2026 Nov 22 20:06:27 mx-1 postfix/cleanup[314]: {TEXT}", SECOND),
    (f"Nov 22 20:06:27.871234 mx-1 postfix/cleanup[314]: {TEXT}", EXACT),
    # rsyslog's RSYSLOG_FileFormat; `journalctl -o short-iso`, `short-iso-precise`, `short-full`
    (f"2026-11-22T20:06:27.871234+00:00 mx-1 postfix/cleanup[314]: {TEXT}", EXACT),
    (f"2026-11-22T21:06:27+01:00 mx-1 postfix/cleanup[314]: {TEXT}", SECOND),
    (f"2026-11-22T15:36:27-0430 mx-1 postfix/cleanup[314]: {TEXT}", SECOND),
    (f"2026-11-22T20:06:27.871234+0000 mx-1 postfix/cleanup[314]: {TEXT}", EXACT),
    (f"2026-11-22T20:06:27Z mx-1.cloud.example.org postfix/cleanup[314]: {TEXT}", SECOND),
    (f"Sun 2026-11-22 20:06:27 UTC mx-1 postfix/cleanup[314]: {TEXT}", SECOND),
    # RFC 5424: without structured data, with it, with a byte order mark
    (f"<22>1 2026-11-22T20:06:27.871234Z mx-1.cloud.example.org postfix/cleanup 314 - - {TEXT}", EXACT),
    (f'<22>1 2026-11-22T20:06:27Z mx-1 postfix/cleanup 314 ID7 [x@1 a="b \\] c"][y@1] {TEXT}', SECOND),
    (f"<22>1 2026-11-22T20:06:27Z mx-1 postfix/cleanup 314 - - \ufeff{TEXT}", SECOND),
    (json.dumps({"__REALTIME_TIMESTAMP": "1795377988000000", "_SOURCE_REALTIME_TIMESTAMP": "1795377987871234",
                 "_HOSTNAME": "mx-1", "SYSLOG_IDENTIFIER": "postfix/cleanup", "SYSLOG_PID": "314", "_PID": "314",
                 "MESSAGE": TEXT}), EXACT),
    # what is no clean UTF-8 is an array of bytes, what occurs twice one of values
    (json.dumps({"__REALTIME_TIMESTAMP": "1795377987871234", "_HOSTNAME": ["mx-1", "mx-1"],
                 "SYSLOG_IDENTIFIER": "postfix/cleanup", "_PID": "314", "MESSAGE": list(TEXT.encode())}), EXACT),
])
def test_form(line: str, time: datetime) -> None:
    assert parse(line, NOW) == Record("mx-1", time, "postfix/cleanup", "314", TEXT)


@pytest.mark.parametrize("stamp", ["2026-06-30T23:59:60Z", "2026-11-22T20:06:27+25:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_no_calendar_has(stamp: str) -> None:
    assert parse(f"{stamp} mx-1 postfix/cleanup[314]: {TEXT}", NOW) is None
    assert parse(f"<22>1 {stamp} mx-1 postfix/cleanup 314 - - {TEXT}", NOW) is None


def test_a_line_without_a_host() -> None:
    """SOGo writes its own file."""
    line = 'Nov 22 20:06:27 sogod [101]: 192.0.2.10 "GET /SOGo/ HTTP/1.1" 200 5013/0 0.120 - - 0'
    record = parse(line, NOW)
    assert record is not None
    assert (record.node, record.daemon, record.pid) == ("", "sogod", "101")
    assert record.text.startswith("192.0.2.10 ")


@pytest.mark.parametrize(("written", "stamp", "year"), [
    (datetime(2027, 1, 1, 0, 1, tzinfo=UTC), "Dec 31 23:59:59", 2026),
    (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "Jan  1 00:00:03", 2027),  # its clock is ahead
    (datetime(2026, 11, 22, tzinfo=UTC), "Nov 29 00:00:00", 2025),
    (datetime(2026, 3, 1, tzinfo=UTC), "Feb 29 12:00:00", 2024),
])
def test_the_year_that_a_line_leaves_out(written: datetime, stamp: str, year: int) -> None:
    """By when its file was written last."""
    record = parse(f"{stamp} mx-1 dovecot: x", written)
    assert record is not None
    assert record.time.year == year


def test_an_address_is_no_name_with_a_domain() -> None:
    record = parse("Nov 22 20:06:27 10.0.0.7 dovecot: x", NOW)
    assert record is not None
    assert record.node == "10.0.0.7"


@pytest.mark.parametrize("line", [
    "", "-- Journal begins at Sun 2026-11-22 20:06:23 UTC. --", "    continued", "Nov 31 20:06:27 mx-1 dovecot: x",
    "{", "{}", "[]", '{"__REALTIME_TIMESTAMP": "soon"}', '{"__REALTIME_TIMESTAMP": "9999999999999999999999"}',
    "Nov 22 20:06:27 mx-1", "<22>1 - mx-1 postfix/cleanup 314 - - x", "2026-11-22T20:06:27 ",
])
def test_what_is_no_line_of_a_log(line: str) -> None:
    assert parse(line, NOW) is None
