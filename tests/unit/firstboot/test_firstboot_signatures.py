"""The age of virus signatures: read from the heads of databases, told by `status` and to the journal."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

import pytest
from firstboot_machine import SITE, FakeClock, FakeHost, machine, seed, with_keys, work

from mailimg_firstboot import cli, signatures
from mailimg_firstboot.signatures import HEADER, Database, parse

FOLDER = "/var/lib/clamav"
# FakeClock.epoch: 2026-03-01 12:00 UTC.
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc).timestamp()
DAY = 86400


def header(
    age_days: float = 1.0, version: Any = 27000, words: str = "28 Feb 2026 12-00 +0000", seconds: Optional[str] = None
) -> bytes:
    """The first 512 bytes of a database, as freshclam keeps it, and some more."""
    epoch = str(int(NOW - age_days * DAY)) if seconds is None else seconds
    text = "ClamAV-VDB:{}:{}:2077144:90:{}:{}:raynman:{}".format(words, version, "d" * 32, "Sig+/" * 34, epoch)
    return text.encode().ljust(HEADER) + b"\x1f\x8b the rest"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    made = machine(tmp_path)
    role = json.loads((made.read("/etc/mailimg/role.json") or b"").decode())
    role["facts"]["clamd"] = {"database": FOLDER}
    made.path("/etc/mailimg/role.json").write_text(json.dumps(role))
    made.path(FOLDER).mkdir(parents=True)
    monkeypatch.setattr(cli, "Host", lambda: made)
    monkeypatch.setattr(cli, "Clock", FakeClock)
    return made


def put(host: FakeHost, name: str, content: bytes) -> None:
    host.path("{}/{}".format(FOLDER, name)).write_bytes(content)


def look(host: FakeHost, max_age_days: int = 7) -> Any:
    return signatures.look(host, {"folder": FOLDER, "max_age_days": max_age_days}, NOW)


def test_a_header() -> None:
    assert parse(header(), "daily.cld") == Database("daily.cld", 27000, NOW - DAY)


@pytest.mark.parametrize(("words", "built"), [
    ("28 Feb 2026 12-00 +0000", NOW - DAY),
    ("28 Feb 2026 08-00 -0400", NOW - DAY),
    ("28 Feb 2026 13-30 +0130", NOW - DAY),
    ("28 Feb 2026 12-00", NOW - DAY),
])
@pytest.mark.parametrize("seconds", ["", "0", "x"])
def test_an_old_header_says_it_in_words_only(words: str, built: float, seconds: str) -> None:
    assert parse(header(words=words, seconds=seconds), "main.cvd").built == built


def test_a_header_without_the_last_field() -> None:
    text = "ClamAV-VDB:28 Feb 2026 12-00 +0000:62:6647427:90:{}:{}:sigmgr".format("d" * 32, "S" * 170)
    assert parse(text.encode().ljust(HEADER), "main.cvd") == Database("main.cvd", 62, NOW - DAY)


@pytest.mark.parametrize(("content", "words"), [
    (b"", "daily.cvd is cut off"),
    (header()[:511], "daily.cvd is cut off"),
    (b"\0" * 600, "daily.cvd is no database of ClamAV"),
    (b"<html>" + b"403 Forbidden " * 60, "daily.cvd is no database of ClamAV"),
    (b"\xff" * 600, "daily.cvd is no database of ClamAV"),
    (header(version="-1"), "daily.cvd is no database of ClamAV"),
    (header(version="1\n"), "daily.cvd is no database of ClamAV"),
    (b"ClamAV-VDB:now:1:2".ljust(HEADER), "daily.cvd is no database of ClamAV"),
    (header(words="32 Feb 2026 12-00 +0000", seconds="0"), "daily.cvd does not say when it was built"),
    (header(words="28 Feb 2026 25-00 +0000", seconds="0"), "daily.cvd does not say when it was built"),
    (header(words="28 Fev 2026 12-00 +0000", seconds="0"), "daily.cvd does not say when it was built"),
    (header(words="", seconds="100000000"), "daily.cvd does not say when it was built"),
])
def test_what_is_no_header(content: bytes, words: str, host: FakeHost) -> None:
    with pytest.raises(ValueError, match=words):
        parse(content, "daily.cvd")
    put(host, "daily.cvd", content)
    assert look(host)["warning"] == (
        "virus signatures too old: no official database in /var/lib/clamav; " + words)


def test_the_newest_counts(host: FakeHost) -> None:
    put(host, "main.cvd", header(900, 62))
    put(host, "daily.cvd", header(30, 26000))
    put(host, "daily.cld", header(1.5, 27000))
    put(host, "mailimg-builtin.ndb", b"ours\n")
    assert look(host) == {
        "folder": FOLDER, "max_age_days": 7, "database": "daily.cld", "version": 27000,
        "built": "2026-02-28T00:00:00Z", "age_days": 1.5, "warning": None}


@pytest.mark.parametrize(("age", "limit", "warning"), [
    (6.9, 7, None),
    (7.1, 7, "daily.cvd version 27000 of 2026-02-22, 7.1 days old, limit 7 days"),
    (7.1, 8, None),
    (-0.5, 7, None),
    (-2, 7, "daily.cvd says that it was built on 2026-03-03; is the clock right?"),
])
def test_limits(age: float, limit: int, warning: Optional[str], host: FakeHost) -> None:
    put(host, "daily.cvd", header(age))
    assert look(host, limit)["warning"] == (warning and "virus signatures too old: " + warning)


def test_a_good_main_does_not_hide_a_broken_daily(host: FakeHost) -> None:
    put(host, "main.cvd", header(900, 62))
    put(host, "daily.cvd", b"cut off")
    assert look(host)["warning"].endswith("900.0 days old, limit 7 days; daily.cvd is cut off")


def test_who_is_watched(host: FakeHost, tmp_path: Path) -> None:
    assert signatures.watched(work(host)) == {"folder": FOLDER, "max_age_days": 7}
    patient = with_keys(SITE, filter__freshclam__max_age_days=30)
    assert signatures.watched(work(host, patient)) == {"folder": FOLDER, "max_age_days": 30}
    assert signatures.watched(work(machine(tmp_path / "without the fact"))) is None
    goal = work(host)
    assert signatures.watched(goal._replace(role=goal.role._replace(services=goal.role.services[1:]))) is None


def test_status_tells(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    put(host, "daily.cvd", header(2))
    assert cli.main(["apply"]) == 0
    capsys.readouterr()
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "virus signatures: daily.cvd version 27000, built 2026-02-27T12:00:00Z, 2.0 days old")
    put(host, "daily.cvd", header(20))
    assert cli.main(["status"]) == 0, "an old database is no failure"
    assert capsys.readouterr().out.splitlines()[-1] == (
        "warning: virus signatures too old: daily.cvd version 27000 of 2026-02-09, 20.0 days old, limit 7 days")
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signatures"]["age_days"] == 20.0


def test_the_limit_is_the_sites(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    seed(host, with_keys(SITE, filter__freshclam__max_age_days=30))
    put(host, "daily.cvd", header(20))
    assert cli.main(["apply"]) == 0
    assert cli.main(["signatures"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("20.0 days old")


def test_the_journal_is_told(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["signatures", "--journal"]) == 0
    assert capsys.readouterr().out == "", "nothing is known before the first run"
    assert cli.main(["apply"]) == 0
    capsys.readouterr()
    words = "mailimg: virus signatures too old: no official database in /var/lib/clamav\n"
    assert cli.main(["signatures"]) == 1
    assert capsys.readouterr().out == words
    assert cli.main(["signatures", "--journal"]) == 0
    assert capsys.readouterr().out == "<4>" + words


def test_a_node_without_a_scanner_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = machine(tmp_path)
    monkeypatch.setattr(cli, "Host", lambda: made)
    monkeypatch.setattr(cli, "Clock", FakeClock)
    assert cli.main(["apply"]) == 0
    capsys.readouterr()
    assert cli.main(["signatures"]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signatures"] is None
