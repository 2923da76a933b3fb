"""Files of the machine: whole or absent, owner and mode first; lock; console; report's files; the shut doors."""

import os
import socket
import subprocess
from pathlib import Path
from typing import List, Tuple

import pytest
from firstboot_machine import FakeClock, FakeHost, machine

from mailimg_firstboot.errors import FirstbootError, StepError
from mailimg_firstboot.host import UNFINISHED, Host
from mailimg_firstboot.programs import Completed
from mailimg_firstboot.report import Report, read_events, read_status
from mailimg_firstboot.systemd import Systemd


def test_write(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.write("/etc/new/file", b"one", "root", "postfix", 0o640)
    state = host.state("/etc/new/file")
    assert state is not None
    assert (state.mode, state.regular) == (0o640, True)
    host.write("/etc/new/file", b"two", mode=0o600)
    assert host.read("/etc/new/file") == b"two"
    assert [one.name for one in host.path("/etc/new").iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path)
    host.write("/etc/x/file", b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StepError, match="write /etc/x/file: No space left on device") as caught:
        host.write("/etc/x/file", b"new")
    assert caught.value.hint == "Is the disk full or read-only? `df -h`"
    assert host.read("/etc/x/file") == b"old"
    assert [one.name for one in host.path("/etc/x").iterdir()] == ["file"]


def test_content_comes_after_owner_and_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path)
    seen: List[Tuple[int, int]] = []
    real = os.fchmod

    def fchmod(handle: int, mode: int) -> None:
        seen.append((os.fstat(handle).st_size, os.fstat(handle).st_mode & 0o777))
        real(handle, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    host.write("/etc/secret", b"hunter2", mode=0o640)
    assert seen == [(0, 0o600)]


def test_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    host = machine(tmp_path)
    for name in (".file.abc" + UNFINISHED, ".other.abc" + UNFINISHED, ".file.abc"):
        host.path("/etc/" + name).write_text("x")
    host.write("/etc/file", b"new")
    left = {one.name for one in host.path("/etc").iterdir() if one.name.startswith(".")}
    assert left == {".other.abc" + UNFINISHED, ".file.abc"}


def test_read_tells_absent_from_unreadable(tmp_path: Path) -> None:
    host = machine(tmp_path)
    assert host.read("/etc/nothing") is None
    assert host.read("/etc/hosts/below") is None
    assert host.state("/etc/nothing") is None
    with pytest.raises(FirstbootError, match="read /etc: Is a directory"):
        host.read("/etc")


def test_remove(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.remove("/etc/hosts")
    host.remove("/etc/hosts")
    assert host.read("/etc/hosts") is None


def test_accounts_are_those_of_the_machine(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.path("/etc/passwd").write_text("amavis:x:111:117::/:/bin/false\nbroken\n")
    assert host.ids("amavis", "postfix")[0] == 111
    with pytest.raises(StepError, match="no account root on this machine"):
        host.ids("root", "root")
    assert Host("/").ids("root", "root") == (0, 0)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    host = machine(tmp_path)
    with host.lock("/run/mailimg/lock"), pytest.raises(FirstbootError) as caught, host.lock("/run/mailimg/lock"):
        pass
    assert caught.value.message == "another run of mailimg-firstboot is at work on this machine"
    assert caught.value.hint == "Wait for it: `mailimg-firstboot status --wait`."
    with host.lock("/run/mailimg/lock"):
        pass


def test_a_missing_or_broken_console_stops_nothing(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    host.console("mailimg: nobody listens")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/console").mkdir()
    host.console("mailimg: nobody listens")
    (tmp_path / "dev/console").rmdir()
    (tmp_path / "dev/console").write_text("")
    host.console("mailimg: somebody listens")
    assert (tmp_path / "dev/console").read_bytes() == b"mailimg: somebody listens\r\n"


def test_console_lines_hold_no_control_characters(tmp_path: Path) -> None:
    host = machine(tmp_path)
    Report(host, FakeClock()).say("a\x1b[31mb\nc")
    assert host.said == ["mailimg: starting", "mailimg: a?[31mb", "mailimg: c"]


def test_events_of_a_run_stand_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = machine(tmp_path)
    assert read_status(host) is None
    assert read_events(host) == []
    Report(host, FakeClock()).note("first")
    Report(host, FakeClock()).note("second")
    host.append("/run/mailimg/events.jsonl", '{"cut off')
    assert [one.get("message") for one in read_events(host)] == [None, "second"]
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_uptime(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text("12.34 40.00\n")
    assert host.uptime() == 12.34


def test_uptime_of_a_container_is_that_of_its_first_process(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "run/systemd").mkdir(parents=True)
    (tmp_path / "run/systemd/container").write_text("systemd-nspawn")
    (tmp_path / "proc/uptime").write_text("3900.50 40.00\n")
    started = 3890 * os.sysconf("SC_CLK_TCK")
    (tmp_path / "proc/1/stat").write_text(f"1 (a (b) c) S 0 1 1 0 -1 4194560 {'0 ' * 12}{started} 0\n")
    assert host.uptime() == 10.5


@pytest.mark.parametrize(("shown", "wanted"), [
    ("LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n", (True, True, "active (running)")),
    ("LoadState=loaded\nActiveState=reloading\nSubState=reload\nResult=success\n", (True, True, "reloading (reload)")),
    ("LoadState=not-found\nActiveState=inactive\nSubState=dead\n", (False, False, "inactive (dead)")),
    ("LoadState=masked\nActiveState=inactive\nSubState=dead\n", (False, False, "inactive (dead)")),
    ("LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n",
     (True, False, "failed (failed), result exit-code")),
    ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\n",
     (True, False, "activating (auto-restart), result exit-code")),
    ("LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nConditionResult=no\n"
     "ConditionTimestampMonotonic=7\n", (True, False, "inactive (dead), a condition of the unit does not hold")),
    ("LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nConditionResult=no\n"
     "ConditionTimestampMonotonic=0\n", (True, False, "inactive (dead)")),
])
def test_unit_states(shown: str, wanted: Tuple[bool, bool, str]) -> None:
    assert Systemd(lambda *_: Completed(0, shown.encode(), "")).state("x.service") == wanted


def test_orders_of_units() -> None:
    ran: List[List[str]] = []
    units = Systemd(lambda argv, *_: ran.append(argv))
    units.start("a.service")
    units.reload("a.service")
    units.restart("a.service")
    units.stop("a.service")
    assert [argv[1] for argv in ran] == ["start", "reload-or-restart", "restart", "stop"]

    def fail(argv: List[str], what: str, timeout: float) -> Completed:
        if argv[1] == "show":
            return Completed(0, b"ActiveState=failed\nResult=exit-code\n", "")
        raise StepError(what + ": systemctl ended with status 1")

    with pytest.raises(StepError, match=r"start a\.service: systemctl ended with status 1") as caught:
        Systemd(fail).start("a.service")
    assert caught.value.hint == "See `systemctl status a.service` and `journalctl -u a.service`."


@pytest.mark.parametrize(("shown", "wanted"), [
    (b"TriggeredBy=rpcbind.socket\n", ["rpcbind.socket"]), (b"TriggeredBy=\n", []), (b"", [])])
def test_what_would_start_a_unit_again(shown: bytes, wanted: List[str]) -> None:
    def run(argv: List[str], what: str, timeout: float) -> Completed:
        return Completed(0, shown if argv[3] == "TriggeredBy" else b"LoadState=loaded\nActiveState=active\n", "")

    assert Systemd(run).triggers("rpcbind.service") == wanted
    assert Systemd(lambda argv, *_: Completed(
        0, shown if argv[3] == "TriggeredBy" else b"ActiveState=inactive\n", "")).triggers("rpcbind.service") == []


def test_a_start_limit_is_reset_once() -> None:
    ran: List[str] = []

    def run(argv: List[str], what: str, timeout: float) -> Completed:
        ran.append(argv[1])
        if argv[1] == "restart" and "reset-failed" not in ran:
            raise StepError(what + ": systemctl ended with status 1")
        return Completed(0, b"ActiveState=failed\nResult=start-limit-hit\n", "")

    Systemd(run).restart("a.service")
    assert ran == ["restart", "show", "reset-failed", "restart"]


def test_the_doors_are_shut(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"must not call subprocess\.Popen"):
        FakeHost(tmp_path).run(["true"], "run a program")
    with pytest.raises(pytest.fail.Exception, match=r"must not call subprocess\.Popen"):
        subprocess.run(["true"], check=True)  # noqa: S607
    with pytest.raises(pytest.fail.Exception, match=r"must not call os\.system"):
        os.system("true")  # noqa: S605, S607
    with pytest.raises(pytest.fail.Exception, match=r"must not call os\.fork"):
        os.fork()
    with socket.socket() as client, pytest.raises(pytest.fail.Exception, match=r"must not call socket\.connect"):
        client.connect(("192.0.2.1", 25))
