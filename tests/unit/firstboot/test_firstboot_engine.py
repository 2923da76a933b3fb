"""Whole runs: good, broken, cut off anywhere and run again; what the outside sees of them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import pytest
from firstboot_fuse import Killed
from firstboot_machine import INSTANCE, PASSWORD, SITE, FakeClock, FakeHost, machine, seed, with_keys
from firstboot_store import STORED_KEYS

from mailimg_firstboot import engine, preparing, sources
from mailimg_firstboot.engine import STEPS
from mailimg_firstboot.errors import DocumentError, FirstbootError, SignalError, StepError, TransientError
from mailimg_firstboot.preparing import Options
from mailimg_firstboot.report import Report, read_events, read_status
from mailimg_firstboot.waiting import Clock, keep_trying


def run(host: FakeHost, clock: Optional[FakeClock] = None) -> None:
    clock = clock or FakeClock()
    engine.apply(host, clock, Report(host, clock), Options())


def status(host: FakeHost) -> Dict[str, Any]:
    found = read_status(host)
    assert found is not None
    return found


def step(host: FakeHost, name: str) -> Dict[str, Any]:
    """What status.json says of a step."""
    return next(dict(one) for one in status(host)["steps"] if one["name"] == name)


def test_a_good_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = machine(tmp_path)
    run(host)
    found = status(host)
    assert {key: found[key] for key in ("schema", "role", "distro", "instance", "state", "boot_seconds")} == {
        "schema": 1, "role": "smtp-in", "distro": "debian-12", "instance": INSTANCE, "state": "ready",
        "boot_seconds": 12.5}
    assert set(found) == {
        "schema", "role", "distro", "instance", "state", "message", "updated", "boot_seconds", "signatures",
        "certificate", "services", "storage", "heat", "steps"}
    assert (found["services"], found["storage"], found["heat"]) == (["clamd", "postfix"], None, False)
    assert [(one["name"], one["state"]) for one in found["steps"]] == [
        ("hostname", "done"), ("selinux", "done"), ("clock", "done"), ("volume", "clean"), ("storage", "clean"),
        ("aside", "clean"), ("certificate", "clean"), ("render", "done"), ("join", "clean"),
        ("databases", "clean"), ("services", "done"), ("departure", "clean"),
        ("timesync", "clean"), ("health", "clean"), ("assignment", "clean"), ("balancer", "clean")]
    assert host.said[-1] == "mailimg: ready smtp-in mx-1.cloud.example.org after 12.5 s"
    out = capsys.readouterr().out
    assert [json.loads(line) for line in out.splitlines()] == read_events(host)
    assert read_events(host)[0]["event"] == "begin"
    assert (host.path("/run/mailimg/status.json").stat().st_mode & 0o777) == 0o644


def test_a_second_run_changes_nothing_but_its_report(tmp_path: Path) -> None:
    host = machine(tmp_path)
    run(host)
    orders, changes = list(host.systemd.orders), len(host.fuse.changes)
    run(host)
    assert host.systemd.orders == orders
    assert {one.split()[1].split("/")[2] for one in host.fuse.changes[changes:]} == {"mailimg"}
    assert {one["state"] for one in status(host)["steps"]} == {"clean"}


def test_no_secret_reaches_the_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = machine(tmp_path)
    run(host)
    host.systemd.refuse.add("postfix@-.service")
    seed(host, with_keys(SITE, directory__bind_password="literal:" + PASSWORD + "2"))
    host.systemd.running.clear()
    with pytest.raises(StepError):
        run(host)
    shown = capsys.readouterr()
    told = [shown.out, shown.err, *host.said]
    told += [path.read_text() for path in host.path("/run/mailimg").iterdir()]
    assert not [text for text in told if PASSWORD in text]
    assert any("the secret stands literally in the metadata" in line for line in host.said)
    assert PASSWORD.encode() in (host.read("/etc/postfix/recipients.cf") or b"")


def test_a_late_daemon_is_waited_for(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    host.answers = {"clamd": "no answer: Connection refused"}
    clock.on_sleep = [lambda: None, lambda: None, host.answers.clear]
    run(host, clock)
    assert clock.naps == [0.5, 1.0, 2.0]
    waits = [one["message"] for one in read_events(host) if one["event"] == "wait"]
    assert waits[0] == ("health: clamd (unix /run/clamav/clamd.ctl): no answer: Connection refused; "
                        "again in 0.5 s, deadline in 300 s")
    assert {one["name"]: one["attempts"] for one in status(host)["steps"]}["health"] == 3
    assert status(host)["state"] == "ready"


def test_an_unsynchronised_clock_is_a_warning(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    host.synchronised = False
    run(host, clock)
    assert status(host)["state"] == "ready"
    assert sum(clock.naps) == pytest.approx(10.0)
    assert [one for one in host.said if "timesync: warning" in one]
    seed(host, with_keys(SITE, time__servers=[]))
    clock.naps.clear()
    run(host, clock)
    assert clock.naps == []
    assert {one["name"]: one["message"] for one in status(host)["steps"]}["timesync"] == (
        "the clock is not synchronised, and the site document names no time.servers")


def test_failed_health_leaves_the_instance_taking_no_mail(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.answers = {"smtp": "greeted with 554"}
    with pytest.raises(StepError, match=r"smtp \(smtp 127.0.0.1:25\): greeted with 554 \(tried \d+ times in 300 s\)"):
        run(host)
    assert host.systemd.running.keys() == {"chrony.service"}
    assert host.systemd.orders[-2:] == ["stop postfix@-.service", "stop clamav-daemon.service"]
    found = status(host)
    assert found["state"] == "failed"
    assert step(host, "health")["state"] == "failed"
    assert host.said[-1].startswith("mailimg: FAILED health: smtp (smtp 127.0.0.1:25): greeted with 554")


def test_wrong_documents_stop_a_node_that_served(tmp_path: Path) -> None:
    host = machine(tmp_path)
    run(host)
    seed(host, with_keys(SITE, domains=["example.org\nrelayhost = evil.example.net"], networks=["0.0.0.0/0"]))
    with pytest.raises(DocumentError) as caught:
        run(host)
    assert len(caught.value.problems) == 2
    assert "postfix@-.service" not in host.systemd.running
    assert status(host)["state"] == "failed"
    assert status(host)["message"].startswith('metadata: site: domains[0]: "example.org\\nrelayhost')
    assert host.said[-1].startswith("mailimg: FAILED metadata: site: domains[0]")
    assert not [line for line in host.said if "\n" in line]


def test_nothing_is_touched_before_everything_is_valid(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.path("/usr/share/mailimg/templates/main.cf.j2").write_text("{{ site.nothing }}\n")
    with pytest.raises(DocumentError, match="has no attribute 'nothing'"):
        run(host)
    assert host.name == "localhost"
    assert host.read("/etc/clamav/clamd.conf") is None


def test_a_missing_or_broken_role_file(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.path("/etc/mailimg/role.json").unlink()
    with pytest.raises(DocumentError, match=r"/etc/mailimg/role.json: missing"):
        run(host)
    assert status(host)["role"] is None
    assert host.said[-1] == "mailimg: FAILED image: /etc/mailimg/role.json: missing"


def test_services_that_do_not_stop_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path)
    host.answers = {"smtp": "greeted with 554"}
    real = host.systemd.stop

    def stop(unit: str) -> None:
        if unit == "postfix@-.service":
            raise StepError("stop postfix@-.service: no end after 300 s")
        real(unit)

    monkeypatch.setattr(host.systemd, "stop", stop)
    with pytest.raises(StepError, match="greeted with 554"):
        run(host)
    assert "clamav-daemon.service" not in host.systemd.running, "the others are stopped nevertheless"
    assert "mailimg: warning: stop the role's services: stop postfix@-.service: no end after 300 s" in host.said


def test_a_defect_is_reported_and_stops_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path)
    monkeypatch.setattr(host, "probe", lambda _check: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run(host)
    assert status(host)["state"] == "failed"
    assert "unexpected ZeroDivisionError" in status(host)["message"]
    assert "postfix@-.service" not in host.systemd.running


def test_a_signal_ends_the_run_in_order(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    host.answers = {"clamd": "no answer"}

    def signalled() -> None:
        raise SignalError("interrupted by SIGTERM")

    clock.on_sleep = [signalled]
    with pytest.raises(SignalError):
        run(host, clock)
    assert status(host)["message"] == "health: interrupted by SIGTERM"
    assert "postfix@-.service" not in host.systemd.running


def sites(store: bool) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """What a site says first, and later."""
    first = with_keys(SITE, **STORED_KEYS) if store else SITE
    return first, with_keys(first, domains=["example.net"], tuning={"smtp-in": {"amavis_workers": 2}})


def number_of_changes(path: Path, store: bool) -> int:
    host = machine(path, store)
    run(host)
    first = len(host.fuse.changes)
    seed(host, sites(store)[1])
    run(host)
    return max(first, len(host.fuse.changes) - first)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("serving", [False, True], ids=["fresh", "serving"])
@pytest.mark.parametrize("store", [False, True], ids=["mail", "store"])
def test_killed_anywhere_it_converges(
    store: bool, serving: bool, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kill a first run, or a run that changes a serving node, before or after every single change."""
    # The page cache outlives a killed process; waiting for the disk ten thousand times would prove nothing here.
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    changes = number_of_changes(tmp_path / "count", store)
    assert changes > 20
    for number in range(changes + 10):
        host = machine(tmp_path / str(number), store)
        if serving:
            run(host)
            seed(host, sites(store)[1])
        host.fuse.blows = (len(host.fuse.changes) + number, moment)
        try:
            run(host)
        except Killed:
            host.fuse.dead, host.fuse.blows = False, None
        else:
            host.fuse.blows = None
        run(host)
        work = preparing.prepare(host, FakeClock(), preparing.read_role(host, Options()), Options(),
                                 lambda _: None, lambda _: None, lambda _: None)
        assert engine.differences(host, work) == []
        for service in work.role.services:
            read = host.systemd.running[service.unit]
            for one in work.files:
                if one.service == service.name:
                    assert read[one.path] == one.content, f"{service.name} runs with an old {one.path}"
        shutil.rmtree(host.root)


def test_check_changes_nothing(tmp_path: Path) -> None:
    host = machine(tmp_path)
    role = preparing.read_role(host, Options())
    work = preparing.prepare(host, FakeClock(), role, Options(), lambda _: None, lambda _: None, lambda _: None)
    assert [name for name, _ in engine.differences(host, work)] == [
        "hostname", "selinux", "clock", "render", "services"]
    assert host.fuse.changes == []


def test_every_wait_has_a_deadline() -> None:
    clock, notes = FakeClock(), []

    def attempt() -> None:
        raise TransientError("no answer")

    with pytest.raises(FirstbootError, match=r"no answer \(tried \d+ times in 60 s\)"):
        keep_trying(attempt, clock, 60.0, notes.append)
    assert clock.naps[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0]
    assert max(clock.naps) <= 15.0
    assert sum(clock.naps) == pytest.approx(60.0)
    assert notes[0] == "no answer; again in 0.5 s, deadline in 60 s"


def test_only_what_is_transient_is_tried_again() -> None:
    clock = FakeClock()

    def attempt() -> None:
        raise StepError("wrong")

    with pytest.raises(StepError, match="wrong"):
        keep_trying(attempt, clock, 60.0, lambda _: None)
    assert clock.naps == []


def test_the_real_clock_goes_forward() -> None:
    clock = Clock()
    first = clock.now()
    clock.sleep(0.001)
    assert clock.now() > first
    assert clock.stamp().endswith("Z")


def test_steps_are_the_default_of_a_run() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert Options().url == sources.SERVICE
