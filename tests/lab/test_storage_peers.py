"""Shared storage as many processes find it at the same moment, and servers that answer in odd ways, on loopback."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailimg_firstboot import nfs, onstorage, rpc
from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.host import Host

pytestmark = pytest.mark.lab

OWNER = 5000
FOLDERS = 4096
GOAL = nfs.Storage("127.0.0.1", "/NFSVOL", "4.2")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An export's root, that its owner can reach."""
    folder = tmp_path / "root"
    folder.mkdir(0o750)
    os.chown(folder, OWNER, OWNER)
    # pytest's folders are root's alone, however many there are.
    for above in folder.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    return folder


def start(verb: str, place: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", onstorage.__file__, verb, str(place), str(OWNER), str(OWNER), name, str(FOLDERS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def listed(place: Path) -> list[str]:
    return [one.name for one in place.iterdir()]


def told(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=60)
    return dict(json.loads(out))


def test_many_prepare_at_the_same_moment_and_one_does_it(place: Path) -> None:
    waiting = {f"server-{number}" for number in range(12)}
    made: list[int] = []
    while waiting:
        answers = {name: start("prepare", place, name) for name in waiting}
        for name, process in answers.items():
            answer = told(process)
            if "made" in answer:
                made.append(answer["made"])
                waiting.remove(name)
            else:
                assert "busy" in answer, answer
    assert sorted(made) == [0] * 11 + [FOLDERS]
    assert sorted(listed(place)) == onstorage.names(FOLDERS), "and nothing of the lease is left"
    state = (place / "abc").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o777) == (OWNER, OWNER, 0o700)
    assert told(start("look", place, "me")) == {"uid": OWNER, "gid": OWNER, "read_only": False, "missing": 0}


@pytest.mark.parametrize("heir", ["first", "second"])
def test_one_that_was_killed_goes_on_at_once_and_others_after_its_lease(place: Path, heir: str) -> None:
    killed = start("prepare", place, "first")
    while not (place / onstorage.LEASE).exists() or len(listed(place)) < 100:
        assert killed.poll() is None, told(killed)
        time.sleep(0.001)
    killed.kill()
    killed.communicate()
    left = FOLDERS - sum(len(name) == 3 for name in listed(place))
    assert left > 0, "it was too fast to be killed"
    assert told(start("prepare", place, "second")) == {"busy": "first"}
    if heir == "second":
        long_ago = time.time() - onstorage.VOID_AFTER - 1
        os.utime(place / onstorage.LEASE, (long_ago, long_ago))
    assert told(start("prepare", place, heir)) == {"made": left}
    assert sorted(listed(place)) == onstorage.names(FOLDERS)


def test_the_lease_of_one_that_still_works_is_renewed(place: Path) -> None:
    lease = place / onstorage.LEASE
    process = start("prepare", place, "slow")
    while not lease.exists():
        assert process.poll() is None, told(process)
        time.sleep(0.001)
    os.utime(lease, (1, 1))
    deadline = time.monotonic() + 20
    while process.poll() is None and lease.exists() and lease.stat().st_mtime < 2:
        assert time.monotonic() < deadline
    assert told(process) == {"made": FOLDERS}


def test_a_trial_leaves_nothing(place: Path) -> None:
    assert told(start("trial", place, "me")) == {}
    assert listed(place) == []


def test_what_cannot_be_written_to_is_named(place: Path) -> None:
    os.chown(place, 0, 0)
    place.chmod(0o755)
    assert told(start("trial", place, "me")) == {"errno": "EACCES", "error": "Permission denied"}
    assert told(start("prepare", place, "me"))["errno"] == "EACCES"
    assert told(start("look", place / "absent", "me"))["errno"] == "ENOENT"
    place.chmod(0o700)
    found = told(start("look", place, "me"))
    assert (found["uid"], found["gid"]) == (0, 0), "whose it is can be told even if nothing else can"


def test_a_look_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named pipe that nobody reads stands for a server that is away: who opens it waits for ever."""
    (tmp_path / "MAILBOXES").mkdir()
    monkeypatch.setattr(nfs, "LOOK_TIMEOUT", 1.0)
    stuck = tmp_path / "onstorage.py"
    stuck.write_text("open(__file__ + '.pipe', 'w')\n")
    os.mkfifo(f"{stuck}.pipe")
    monkeypatch.setattr(nfs, "__file__", str(tmp_path / "nfs.py"))
    begun = time.monotonic()
    with pytest.raises(TransientError, match="look at /MAILBOXES: the storage server has not answered for 1 s"):
        Host(str(tmp_path)).nfs.look("/MAILBOXES", OWNER, OWNER, 0)
    assert time.monotonic() - begun < 4


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def answer(listener: socket.socket, reply: bytes) -> None:
    """Answer the next call with these bytes, as one record, and close."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(struct.pack(">I", rpc.LAST | len(reply)) + reply if reply else b"")

    threading.Thread(target=serve, daemon=True).start()


def accepted(status: int, *rest: int) -> bytes:
    """A reply of RFC 5531: accepted, no verifier, a status."""
    return struct.pack(f">{6 + len(rest)}I", 1, 1, 0, 0, 0, status, *rest)


@pytest.mark.parametrize(("reply", "kind", "words"), [
    (accepted(0), None, ""),
    (accepted(2, 3, 3), StepError, "does not speak NFS 4.2; it speaks 3"),
    (accepted(2, 2, 3), StepError, "does not speak NFS 4.2; it speaks 2 to 3"),
    (accepted(1), TransientError, "serves no NFS (status 1)"),
    (struct.pack(">4I", 1, 1, 1, 0), TransientError, "no RPC"),
    (b"", TransientError, "the connection was closed without an answer"),
])
def test_what_a_server_answers(listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: bytes,
                               kind: type[Exception] | None, words: str) -> None:
    monkeypatch.setattr(rpc, "NFS_PORT", listener.getsockname()[1])
    answer(listener, reply)
    if kind is None:
        Host(str(tmp_path)).nfs.reach(GOAL)
        return
    with pytest.raises(kind, match=words.replace("(", r"\(").replace(")", r"\)")):
        Host(str(tmp_path)).nfs.reach(GOAL)


def test_nobody_answers(listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = listener.getsockname()[1]
    listener.close()
    monkeypatch.setattr(rpc, "NFS_PORT", port)
    with pytest.raises(TransientError, match=f"127.0.0.1 does not answer at port {port}: Connection refused"):
        Host(str(tmp_path)).nfs.reach(GOAL)


def test_exports_are_read(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "PORTMAP_PORT", listener.getsockname()[1])
    name, client = b"/NFSVOL\0", b"10.0.0.0/24\0"
    listed = struct.pack(">2I", 1, 7) + name + struct.pack(">2I", 1, 11) + client + struct.pack(">2I", 0, 0)
    answer(listener, accepted(0, listener.getsockname()[1]))
    told: list[list[str] | None] = []
    asking = threading.Thread(target=lambda: told.append(rpc.exports("127.0.0.1")))
    time.sleep(0.1)
    asking.start()
    time.sleep(0.3)
    answer(listener, accepted(0) + listed)
    asking.join(10)
    assert told == [["/NFSVOL"]]
