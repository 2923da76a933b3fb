"""The builder's one door to other programs, with real programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailimg import process, unsynced
from mailimg.errors import StepError

pytestmark = pytest.mark.lab


def alive(mark: str) -> list[str]:
    """Programs with `mark` among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(path.parent.name)
    return found


def gone(mark: str, seconds: float = 5) -> bool:
    until = time.monotonic() + seconds
    while alive(mark) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(mark)


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> str:
    """A number of seconds for `sleep` that no other test uses."""
    return f"{abs(hash(request.node.name)) % 10000 + 1000}.{os.getpid()}"


@pytest.fixture
def interruption() -> Iterator[None]:
    yield
    process.stopped.clear()


def test_a_process_that_ends_while_it_is_looked_at_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        assert process.start_time(child.pid) > process.start_time(1)
        opens = os.open

        def reaped(path: str, flags: int, **more: int | None) -> int:
            handle = opens(path, flags, **more)
            child.kill()
            child.wait()
            return handle

        monkeypatch.setattr(os, "open", reaped)
        assert process.start_time(child.pid) == 0
        monkeypatch.undo()
    assert process.start_time(child.pid) == 0


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen(["/bin/true"])
    until = time.monotonic() + 5
    while process.start_time(child.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert process.start_time(child.pid) == 0
    assert Path(f"/proc/{child.pid}").exists()
    child.wait()


def test_output_is_captured() -> None:
    answer = process.run(["sh", "-c", "echo out; echo err >&2"], what="x")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "out\n", "err\n")
    assert process.running == set()


def test_environment_is_explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIB_RELEASE", "leaked")
    answer = process.run(["env"], what="x", env={"MORE": "1"})
    names = {line.split("=")[0] for line in answer.stdout.splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {*process.BASE_ENV, "MORE"}


def test_stdin_is_closed_unless_given() -> None:
    assert process.run(["cat"], what="x", timeout=10).stdout == ""
    assert process.run(["cat"], what="x", stdin=b"secret", timeout=10).stdout == "secret"


def test_failure_can_be_pasted_into_a_shell() -> None:
    with pytest.raises(StepError) as caught:
        process.run(["sh", "-c", "echo one; echo; echo two >&2; exit 3"], what="write the table")
    assert caught.value.message == "write the table: `sh -c 'echo one; echo; echo two >&2; exit 3'` ended with status 3"
    assert caught.value.tail == ("one", "two")
    assert process.run(["false"], what="x", check=False).returncode == 1


def test_program_killed_by_a_signal() -> None:
    with pytest.raises(StepError, match="ended with signal SIGKILL"):
        process.run(["sh", "-c", "kill -9 $$"], what="x")


def test_missing_program() -> None:
    with pytest.raises(StepError, match="write it: cannot start no-such-program: No such file") as caught:
        process.run(["no-such-program"], what="write it")
    assert "mailimg doctor" in caught.value.hint


def test_time_out_ends_the_whole_group(mark: str) -> None:
    script = f"(trap '' TERM; sleep {mark}) & sleep {mark}"
    begun = time.monotonic()
    with pytest.raises(StepError, match=r"wait: no end after 0\.5 s"):
        process.run(["sh", "-c", script], what="wait", timeout=0.5)
    assert time.monotonic() - begun < 5
    assert gone(mark)
    assert process.running == set()


def test_stream_hands_on_both_outputs_in_order() -> None:
    lines: list[str] = []
    status = process.stream(["sh", "-c", "echo a; echo b >&2; echo c; exit 4"], what="x", line=lines.append)
    assert (status, lines) == (4, ["a", "b", "c"])


def test_stream_hands_on_a_long_output_and_what_has_no_end_of_line() -> None:
    lines: list[str] = []
    assert process.stream(["sh", "-c", "seq 50000; printf last"], what="x", line=lines.append) == 0
    assert lines == [*map(str, range(1, 50001)), "last"]


def test_stream_looks_up_each_time_it_was_quiet(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    seen: list[str] = []
    monkeypatch.setattr(process, "QUIET_SECONDS", 0.3)
    script = "for one in 1 2 3 4; do echo $one; sleep 0.1; done; printf half; sleep 1; echo"
    assert process.stream(["sh", "-c", script], what="x", line=seen.append, quiet=lambda: seen.append("quiet")) == 0
    assert [*dict.fromkeys(seen)] == ["1", "2", "3", "4", "quiet", "half"], "quiet comes only behind what was said"
    assert seen.count("quiet") >= 2

    def fail() -> None:
        raise ValueError("still")

    with pytest.raises(ValueError, match="still"):
        process.stream(["sleep", mark], what="x", line=seen.append, quiet=fail)
    assert gone(mark)


def test_error_in_the_reader_ends_the_program(mark: str) -> None:
    def fail(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="first"):
        process.stream(["sh", "-c", f"echo first; sleep {mark}"], what="x", line=fail)
    assert gone(mark)


def test_stop_all_ends_what_other_threads_wait_for(mark: str, interruption: None) -> None:
    status: list[int] = []
    started = threading.Event()

    def wait() -> None:
        script = f"trap '' TERM; echo up; sleep {mark}"
        status.append(process.stream(["sh", "-c", script], what="x", line=lambda _: started.set()))

    thread = threading.Thread(target=wait)
    thread.start()
    assert started.wait(10)
    process.stop_all()
    thread.join(10)
    assert status == [-signal.SIGKILL]
    assert gone(mark)
    with pytest.raises(StepError, match="go on: interrupted"):
        process.run(["true"], what="go on")


def test_confined_program_ends_with_its_killed_caller(mark: str, tmp_path: Path) -> None:
    """SIGKILL leaves the caller no time: the kernel ends the rest, what has left its group and session too."""
    script = f"mount -t tmpfs confined-{mark} {tmp_path} && touch {tmp_path}/in && setsid sleep {mark} & sleep {mark}"
    caller = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from mailimg import process; process.run(process.confine(sys.argv[1:]), what='x')",
            "sh",
            "-c",
            script,
        ]
    )
    try:
        until = time.monotonic() + 10
        while len(alive(mark)) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert f"confined-{mark}" not in Path("/proc/self/mountinfo").read_text()
        assert list(tmp_path.iterdir()) == [], "the mount is seen from outside"
    finally:
        caller.kill()
        caller.wait()
    assert gone(mark)


def test_confined_program_without_network() -> None:
    argv = process.confine(["cat", "/proc/net/dev"], network=True)
    interfaces = [line.split(":")[0].strip() for line in process.run(argv, what="x").stdout.splitlines()[2:]]
    assert interfaces == ["lo"]


def test_unsynced_answers_syncs_with_success_for_children_too() -> None:
    """fsync of a descriptor that is not open: the kernel itself would say EBADF."""
    fsync = f"{sys.executable} -c 'import os; os.fsync(999)'"
    plain = process.run(["sh", "-c", fsync], what="sync nothing", check=False)
    assert "Bad file descriptor" in plain.stderr
    argv = [sys.executable, "-I", "-S", unsynced.__file__, "sh", "-c", fsync]
    process.run(process.confine(argv), what="sync nothing, unsynced")
