"""Logs hold what others wrote: no line, however it is damaged, ends the search."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailimg.errors import StepError
from mailimg.trace import daemons, lines, report, trace

DATA = Path(__file__).resolve().parents[2] / "data/trace"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
LOGS = sorted(path for path in DATA.rglob("*") if path.suffix in (".log", ".json") and path.name != "sent.json")


def damaged(line: bytes, by: random.Random) -> bytes:
    """A line with some bytes lost, changed or repeated."""
    for _ in range(by.randint(1, 4)):
        at, length = by.randrange(len(line) + 1), by.randrange(12)
        twice = line[at : at + length] * 2
        filling = by.choice([b"", by.randbytes(length), twice, b"<>", b"'", b"}", b"\\u0000", b"z" * 90])
        line = line[:at] + filling + line[at + length :]
    return line


@pytest.mark.parametrize("log", LOGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_damaged_lines(log: Path) -> None:
    by = random.Random(log.name)  # noqa: S311 - the same damage in every run
    for line in log.read_bytes().splitlines():
        record = lines.parse(damaged(line, by).decode(errors="replace"), NOW)
        if record is not None:
            daemons.event(record, "", (0, 0))


def test_a_message_in_damaged_logs(tmp_path: Path) -> None:
    """What is found may have holes; it is told all the same."""
    by = random.Random(6)  # noqa: S311 - the same damage in every run
    ids = [line.partition(b"message-id=<")[2].partition(b">")[0].decode()
           for line in (DATA / "iso/mx-1.log").read_bytes().splitlines() if b"message-id=<" in line]
    told = 0
    for number in range(20):
        for log in (DATA / "iso").iterdir():
            content = [damaged(line, by) if by.random() < 0.3 else line for line in log.read_bytes().splitlines()]
            (tmp_path / log.name).write_bytes(b"\n".join(line for line in content if by.random() < 0.9))
        with suppress(StepError):
            told += bool(list(report.text(trace(ids[number % len(ids)], [tmp_path]))))
    assert told > 15


@pytest.mark.parametrize("text", [
    "4jXg7l64KVz4J: message-id=" + "<" * 20_000, "z" * 100_000 + ": removed", "(1-2) Passed " + "{" * 20_000,
    "4jXg7l64KVz4J: to=<" + "a" * 50_000, "(1-2) Passed CLEAN {x}, " + "<a> -> <b>," * 5_000,
    "Message 4jXg7l64KVz4J from <a> to <b> with subject '" + "' message-id '" * 500, "queued as " * 10_000,
])
def test_no_line_takes_long(text: str) -> None:
    """Every daemon's parser reads each of these in less time than a regular expression takes that has gone wild."""
    begun = datetime.now(UTC)
    for daemon in ("postfix/smtp", "postfix/cleanup", "amavis", "dovecot", "opendkim", "clamav-milter", "sogod"):
        for prefix in (f"Nov 22 20:06:27 mx-1 {daemon}[1]: ", f"<22>1 2026-11-22T20:06:27Z mx-1 {daemon} 1 - [a ", ""):
            record = lines.parse(prefix + text, NOW)
            if record is not None:
                daemons.said(record)
    assert (datetime.now(UTC) - begun).total_seconds() < 1.5
