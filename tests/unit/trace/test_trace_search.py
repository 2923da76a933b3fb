"""Logs are found and searched without being loaded."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailimg import cli
from mailimg.commands import trace as command
from mailimg.errors import InputError
from mailimg.trace import report, sources, trace
from mailimg.trace.sources import Searched, Source

DATA = Path(__file__).resolve().parents[2] / "data/trace"
CLEAN: str = json.loads((DATA / "sent.json").read_text())["clean"]
NOW = datetime(2026, 11, 22, tzinfo=UTC)
Mailimg = Callable[..., tuple[int, str, str]]


def hits(path: Path, *needles: bytes) -> list[tuple[int, bytes]]:
    return list(sources.search(Source(path, "", NOW), needles, Searched()))


@pytest.mark.parametrize("block", [1, 3, 7, 8, 20, 1000])
def test_lines_are_whole_however_blocks_cut_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Each line once, in order, with its place, also the last one without an end."""
    monkeypatch.setattr(sources, "BLOCK", block)
    log = tmp_path / "log"
    log.write_bytes(b"one id\nnothing\r\ntwo id id\r\n\nthree di\nid")
    assert hits(log, b"id", b"di") == [(0, b"one id"), (16, b"two id id"), (28, b"three di"), (37, b"id")]
    assert hits(log, b"none") == []


def test_a_file_without_lines_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK", 100)
    monkeypatch.setattr(sources, "LONGEST", 1000)
    log = tmp_path / "log"
    log.write_bytes(b"x" * 5000 + b"\nid here\n")
    assert [line for _, line in hits(log, b"id")] == [b"id here"]


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """48 MiB, packed: a few blocks are held, whether the log is long or short."""
    log = tmp_path / "mx-1.log.gz"
    filler = b"Nov 22 20:06:23 mx-1 clamd[134]: Limits: Global time limit set to 120000 milliseconds.\n" * 12_000
    with gzip.open(log, "wb", 1) as file:
        for _ in range(48):
            file.write(filler)
        file.write((DATA / "iso/mx-1.log").read_bytes())
    tracemalloc.start()
    try:
        found = trace(CLEAN, [log])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.searched.octets > 90 << 20
    assert peak < 8 << 20, f"{peak >> 20} MiB"


def test_folders_are_searched_at_any_depth(tmp_path: Path) -> None:
    """What is no log is passed over; a node is named by the folder or file that its lines stand in."""
    content = {"mx-1/mail.log": b"x\n", "mx-1/mail.log.1.gz": gzip.compress(b"x\n"), "box-1.log": b"x\n",
               "mx-1/state.db": b"a\0b", "mx-1/system.journal": b"LPKSHHRH..", "old.zst": b"\x28\xb5\x2f\xfd"}
    for name, octets in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(octets)
    searched = Searched()
    found = sources.find([tmp_path], searched)
    assert [(source.path.name, source.place) for source in found] == [
        ("box-1.log", "box-1"), ("mail.log", "mx-1"), ("mail.log.1.gz", "mx-1")]
    assert [warning.split(": ")[2].split(" ")[0] for warning in searched.warnings] == ["a", "compressed"]
    # What is named is wanted.
    with pytest.raises(InputError, match="a binary journal") as error:
        sources.find([tmp_path / "mx-1/system.journal", tmp_path / "mx-1/state.db", tmp_path / "none"], Searched())
    assert len(error.value.problems) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no log in"):
        sources.find([tmp_path / "empty"], Searched())


def test_a_log_without_host_names(tmp_path: Path) -> None:
    """The file says which node it is."""
    lines = (DATA / "iso/box-1.log").read_text().replace(" box-1 ", " ")
    (tmp_path / "box-1.log").write_text(lines)
    assert {event.node for event in trace(CLEAN, [tmp_path]).events} == {"box-1"}


def test_what_others_wrote_does_not_command_the_terminal() -> None:
    assert report.clean("a\x1b[2Jb\u202ec\nd é") == "a?[2Jb?c?d é"


@pytest.fixture
def mailimg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Mailimg]:
    """Run the command: exit status, standard output, standard error."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mailimg", "trace", *arguments])
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        assert code is None or isinstance(code, int)
        return code or 0, said.out, said.err

    yield run
    signal.signal(signal.SIGTERM, before)


def test_the_command(mailimg: Mailimg) -> None:
    code, out, _ = mailimg(CLEAN, "--logs", str(DATA / "iso"))
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"message {CLEAN}"
    assert lines[1].strip().startswith("from <sender@sender.example>, 28")
    assert lines[4] == "2026-11-22 (UTC)"
    assert re.fullmatch(r"anna@example.org: delivered after \d\.\d s: filed in INBOX of anna, on box-1", lines[-3])
    assert "lines a second" in lines[-1]
    assert all(len(line.split()) > 3 for line in lines[5:-4]), "a time line"


def test_the_document(mailimg: Mailimg) -> None:
    logs = [word for node in ("mx-1", "box-1") for word in ("--logs", str(DATA / f"iso/{node}.log"))]
    code, out, _ = mailimg(CLEAN.strip("<>"), *logs, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["message_ids"] == [CLEAN]
    assert [(one["recipient"], one["state"]) for one in document["recipients"]] == [("anna@example.org", "delivered")]
    assert [hop["node"] for hop in document["hops"]] == ["mx-1", "mx-1", "box-1"]
    assert document["searched"]["files"] == 2
    assert all(event["time"].endswith("+00:00") for event in document["events"])


def test_exit_status_of_failures(mailimg: Mailimg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "LABS", tmp_path)
    assert mailimg("never@x.example", "--logs", str(DATA / "iso"))[0] == 1
    assert mailimg("nonsense", "--logs", str(DATA / "iso"))[0] == 2
    code, out, err = mailimg(CLEAN, "--logs", str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert f"error: {tmp_path / 'none'}: there is no such file or folder" in err
    code, _, err = mailimg(CLEAN)
    assert code == 2
    assert "error: no logs given, and no lab runs here" in err


def test_logs_of_a_lab(mailimg: Mailimg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each node's journal in a folder of its own; without a name the only lab that there is."""
    monkeypatch.setattr(command, "LABS", tmp_path)
    for node in ("mx-1", "box-1"):
        folder = tmp_path / "lab-site/nodes" / node
        folder.mkdir(parents=True)
        shutil.copy(DATA / f"iso/{node}.log", folder / "journal")
    for arguments in ((), ("--lab", "site")):
        assert mailimg(CLEAN, *arguments)[0] == 0
    assert "there is no lab 'other'" in mailimg(CLEAN, "--lab", "other")[2]
    (tmp_path / "lab-second/nodes").mkdir(parents=True)
    code, _, err = mailimg(CLEAN)
    assert code == 2
    assert "there are several labs: second, site" in err
