"""However a lab ends, nothing of it is left: no process, network, mount, control group or file."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from conftest import Lab

from mailimg.lab import state

pytestmark = pytest.mark.boot


def traces(lab: Lab) -> list[str]:
    """What is there of a lab."""
    found = [str(path) for path in (lab.state.folder, *state.cgroups(lab.name)) if path.exists()]
    found += [str(path) for path in Path(tempfile.gettempdir()).glob(f"mailimg-lab-{lab.name}-*")]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(lab.state.folder) in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            group = (process / "cgroup").read_text()
        except OSError:
            continue
        if f"mailimg-lab-{lab.name}/" in group or any(str(lab.state.folder) in word for word in words):
            found.append(f"{process.name}: {' '.join(words)}")
    return found


def begun(lab: Lab) -> subprocess.Popen[bytes]:
    """A lab whose nodes boot."""
    # Who is started in the background ignores Ctrl-C, and so do its children.
    argv = ["/usr/bin/env", "--default-signal=INT", *lab.up_argv()]
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while lab.state.read().get("phase") != "booting":
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(2)
    assert traces(lab), "the search for traces is blind"
    return running


def test_ended_while_it_runs(own_lab: Lab) -> None:
    said = own_lab.up()
    assert "memory: about " in said
    for node in ("smtp-in-1", "smtp-out-1", "pop-imap-lda-1", "pop-imap-lda-2", "sogo-1"):
        assert f"{node}: agent: ready" in said
    assert "literally" not in said
    assert not any(path.name.startswith(("mailimg", "node")) for path in Path("/sys/class/net").iterdir())
    own_lab.run("down")
    assert traces(own_lab) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_comes_up(own_lab: Lab, number: int) -> None:
    running = begun(own_lab)
    running.send_signal(number)
    assert running.wait(60) == 130
    assert traces(own_lab) == []


def test_the_command_is_killed(own_lab: Lab) -> None:
    running = begun(own_lab)
    running.kill()
    running.wait(60)
    assert own_lab.state.supervisor, "the lab goes on without the command"
    own_lab.run("down")
    assert traces(own_lab) == []


@pytest.mark.parametrize("which", ["pid", "parent"])
def test_the_supervisor_is_killed(own_lab: Lab, which: str) -> None:
    """Or the process that holds its namespaces."""
    running = begun(own_lab)
    os.kill(own_lab.state.read()["supervisor"][which], signal.SIGKILL)
    assert running.wait(60) == 1
    assert traces(own_lab) == []
