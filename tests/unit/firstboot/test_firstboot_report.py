"""What the outside sees while steps run at the same time; and where the time went."""

import json
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_machine import FakeClock, FakeHost, machine

from mailimg_firstboot import analysis
from mailimg_firstboot.report import Report, read_events, read_status

PARTS = [("a", ()), ("b", ()), ("c", ("a", "b"))]


def status(host: FakeHost) -> Dict[str, Any]:
    return read_status(host) or {}


def test_steps_stand_in_the_order_of_the_plan(tmp_path: Path) -> None:
    host = machine(tmp_path)
    report = Report(host, FakeClock())
    report.plan(PARTS)
    for name in ("c", "b", "a"):
        report.step(name, "done", 1.0, 1, "")
    assert [one["name"] for one in status(host)["steps"]] == ["a", "b", "c"]


def test_a_run_waits_as_long_as_one_of_its_steps_does(tmp_path: Path) -> None:
    host = machine(tmp_path)
    report = Report(host, FakeClock())
    report.plan(PARTS)
    report.waiting("b: no answer", "b")
    report.step("a", "done", 1.0, 1, "")
    assert status(host)["state"] == "waiting"
    report.waiting("b: no answer", "b")
    assert host.said.count("mailimg: b: no answer") == 1, "the console hears of a wait once"
    report.step("b", "done", 1.0, 2, "", 0.5)
    assert status(host)["state"] == "running"
    assert status(host)["steps"][1]["waited"] == 0.5


def test_many_threads_write_whole_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = machine(tmp_path)
    report = Report(host, FakeClock())
    report.plan([(str(number), ()) for number in range(8)])

    def tell(name: str) -> None:
        for _ in range(20):
            report.waiting("x" * 300, name)
            report.step(name, "running", 0.0, 1, "")
        report.step(name, "done", 1.0, 1, "")

    threads = [threading.Thread(target=tell, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_events(host)) == 2 + 8 * 41
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == read_events(host)
    assert {one["state"] for one in status(host)["steps"]} == {"done"}


def test_the_critical_path() -> None:
    events: List[Dict[str, Any]] = [
        {"event": "begin", "at": 10.0, "uptime": 5.0},
        {"event": "plan", "at": 11.0, "steps": [{"name": name, "after": list(after)} for name, after in PARTS]}]

    def step(name: str, begin: float, end: float, waited: float = 0.0) -> None:
        entry = {"event": "step", "name": name, "attempts": 2 if waited else 1, "waited": waited}
        events.append(dict(entry, state="running", at=begin, seconds=0.0))
        events.append(dict(entry, state="done", at=end, seconds=end - begin))

    step("a", 11.0, 12.0)
    step("b", 11.0, 15.0, waited=3.5)
    step("c", 15.0, 16.0)
    events.append({"event": "state", "state": "ready", "at": 16.0})
    assert analysis.lines(events) == [
        "    5.00 s  kernel to agent",
        "    1.00 s  metadata, documents, templates",
        "    1.00 s  step a (done)",
        "    4.00 s  step b (done, 2 attempts, waited 3.50 s)",
        "    1.00 s  step c (done)",
        "    5.00 s  critical path:",
        "      4.00 s  b, waited 3.50 s",
        "      1.00 s  c",
        "   11.00 s  in all, since the kernel started: ready"]
