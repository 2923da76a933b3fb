"""Unit tests start no process and reach no network: every door to either is shut."""

import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, NoReturn

import pytest

STARTERS = (
    "system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp",
    "execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe",
    "spawnl", "spawnle", "spawnlp", "spawnlpe", "spawnv", "spawnve", "spawnvp", "spawnvpe",
)
# In memory on every Linux.
MEMORY = Path("/dev/shm")
CALLERS = ("connect", "connect_ex", "sendto", "sendmsg")


def shut(what: str) -> Callable[..., NoReturn]:
    """A function that fails the test; its exception passes every `except Exception` of the code under test."""

    def door(*_args: Any, **_kwargs: Any) -> NoReturn:
        pytest.fail(f"a unit test must not call {what}; give the code a fake, or make this a lab test")

    return door


@pytest.fixture(autouse=True)
def shut_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process, no connection."""
    monkeypatch.setattr(subprocess.Popen, "__init__", shut("subprocess.Popen"))
    for name in STARTERS:
        # Python 3.6, which runs the agent's tests too, has no posix_spawn.
        monkeypatch.setattr(os, name, shut("os." + name), raising=False)
    for name in CALLERS:
        monkeypatch.setattr(socket.socket, name, shut("socket." + name))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """An empty folder in memory: on ext4 a file renamed over another is flushed to the disk, even if nobody asks."""
    with tempfile.TemporaryDirectory(prefix="mailimg-unit-", dir=str(MEMORY) if MEMORY.is_dir() else None) as name:
        yield Path(name)
