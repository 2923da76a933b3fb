"""Until the agent has said that it starts it imports nothing that needs random numbers: cli.py says why."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import oldest_python
import pytest

pytestmark = pytest.mark.lab

FIRSTBOOT = Path(__file__).resolve().parents[2] / "firstboot"

# Runs a command of the agent on a machine in a folder, in an interpreter in which nothing that hands out random numbers
# can be imported. argv: package folder, machine's root, words of the command.
WATCHED = """
import os, sys

sys.path.insert(0, sys.argv[1])
for name in ("random", "_random", "secrets", "uuid"):
    sys.modules[name] = None

def refused(_length):
    raise RuntimeError("the entropy pool is empty")

os.urandom = refused
from mailimg_firstboot import cli, host

real, root = host.Host, sys.argv[2]
cli.Host = lambda: real(root)
sys.exit(cli.main(sys.argv[3:]))
"""

STATUS = '{"schema": 1, "state": "ready", "message": "smtp-in mx-1", "steps": []}'


@pytest.fixture(params=["here", "3.6"])
def python(request: pytest.FixtureRequest) -> Path:
    """The interpreter of these tests, and the oldest of an image where the machine has it."""
    if request.param == "here":
        return Path(sys.executable)
    found = oldest_python.interpreter()
    if found is None:
        pytest.skip(oldest_python.ABSENT)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with accounts, but without role.json: `apply` ends right after it has said that it starts."""
    for name, text in {
        "etc/passwd": f"root:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\n", "etc/group": f"root:x:{os.getgid()}:\n",
        "proc/uptime": "1.5 1.0\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def console(root: Path) -> Iterator[int]:
    """What reads the machine's console."""
    (root / "dev").mkdir()
    os.mkfifo(root / "dev/console")
    handle = os.open(root / "dev/console", os.O_RDONLY | os.O_NONBLOCK)
    yield handle
    os.close(handle)


def watched(python: Path, root: Path, *words: str, code: str = WATCHED) -> subprocess.CompletedProcess[str]:
    """Run one command under watch; isolated, without site-packages: what pip puts there may import anything."""
    return oldest_python.run([python, "-I", "-S", "-c", code, FIRSTBOOT, root, *words])


def test_apply_says_that_it_starts(python: Path, root: Path, console: int) -> None:
    done = watched(python, root, "apply")
    assert done.stderr.startswith("mailimg-firstboot: /etc/mailimg/role.json: missing\n")
    assert done.returncode == 2
    assert os.read(console, 4096).startswith(b"mailimg: starting\r\n")
    assert (root / "run/mailimg/events.jsonl").read_text().startswith('{"event": "begin"')
    assert '"state": "failed"' in (root / "run/mailimg/status.json").read_text()


def test_status_and_help(python: Path, root: Path) -> None:
    (root / "run/mailimg").mkdir(parents=True)
    (root / "run/mailimg/status.json").write_text(STATUS)
    assert watched(python, root, "status").stdout == "ready: smtp-in mx-1\n"
    assert watched(python, root, "--help").returncode == 0


@pytest.mark.parametrize("early", ["import tempfile", "import urllib.request", "import os; os.urandom(1)"])
def test_the_watch_would_notice(python: Path, root: Path, early: str) -> None:
    done = watched(python, root, "apply", code=WATCHED.replace("cli.Host =", f"{early}; cli.Host ="))
    assert done.returncode == 1
    assert "random" in done.stderr or "entropy" in done.stderr
    assert not (root / "run/mailimg").exists()
