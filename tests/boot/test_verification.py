"""The verification can say no."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailimg import manifest, process
from mailimg.commands.verify import role_view
from mailimg.store import Store
from mailimg.verify import verify_image, verify_tree

pytestmark = pytest.mark.boot

# An agent that says it has left, and did nothing.
IDLE = """\
#!/bin/sh
[ "$1" = leave ] && exit 0
exec /usr/sbin/mailimg-firstboot.real "$@"
"""


def test_what_never_speaks_is_given_up_with_its_console(tmp_path: Path, document: dict[str, Any]) -> None:
    """An empty disk: the time-out is kept, and the message says what was reached."""
    blank = tmp_path / "blank.raw"
    with blank.open("wb") as file:
        file.truncate(64 << 20)
    result = verify_image(blank, role_view(document), report=print, timeout=20)
    assert not result.ok
    assert "no word from the agent after 20 s; reached: nothing" in result.checks[0].detail


def test_an_image_that_was_changed_is_not_verified(image: Path, tmp_path: Path) -> None:
    """The result would be written into a manifest that speaks of other bytes."""
    copy = tmp_path / image.name
    manifest.write(copy, manifest.read(image))
    copy.write_bytes(image.read_bytes()[:-1])
    command = [str(Path(sys.executable).parent / "mailimg"), "verify", str(copy)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "is not the file its manifest describes" in told.stderr


def test_a_failing_check_fails_the_verification(tree: Path, document: dict[str, Any], store: Path) -> None:
    """A port that the role does not name: the verification must be able to say no."""
    view = role_view(document)
    wrong = type(view)(view.name, tuple(port for port in view.listeners if port != 25), (), view.login)
    result = verify_tree(tree, wrong, report=print, peers=store / "peers")
    assert not result.ok
    assert [check.name for check in result.checks if not check.ok] == ["exactly the role's ports listen"]
    assert "listening but not named by the role: [25]" in next(c for c in result.checks if not c.ok).detail


def test_a_killed_verification_leaves_nothing(image: Path, store: Path) -> None:
    command = [str(Path(sys.executable).parent / "mailimg"), "verify", str(image), "--by", "nspawn"]
    with subprocess.Popen([*command, "--store", str(store)], stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        booting = next(line for line in running.stderr if "booting by nspawn" in line)
        (folder,) = {request.parent for request in (store / "work").glob("*/**/request.json")
                     if any(str(request.parent) in words for words in children(running.pid))}
        assert alive(folder), booting
        running.kill()
    deadline = time.monotonic() + 20
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive(folder) == []
    Store(store).sweep()
    assert not folder.exists()


def children(pid: int) -> list[str]:
    """Command lines of what a process, in whichever of its threads, has started."""
    started: list[str] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        # The thread may have ended.
        with contextlib.suppress(OSError):
            started += path.read_text().split()
    return command_lines(Path("/proc") / child for child in started)


def alive(folder: Path) -> list[str]:
    """Command lines that name a folder."""
    return [words for words in command_lines(Path("/proc").glob("[0-9]*")) if str(folder) in words]


def command_lines(processes: Iterable[Path]) -> list[str]:
    """Of those that still run."""
    found = []
    for path in processes:
        with contextlib.suppress(OSError):
            found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def idle(tree: Path, tmp_path: Path) -> Iterator[Path]:
    """The tree with an agent that does not leave; laid over it in memory."""
    process.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", tmp_path], what="make room for a tree")
    try:
        for name in ("upper", "work", "root"):
            (tmp_path / name).mkdir()
        options = f"lowerdir={tree},upperdir={tmp_path / 'upper'},workdir={tmp_path / 'work'}"
        process.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "root"], what="lay the tree")
        try:
            agent = tmp_path / "root/usr/sbin/mailimg-firstboot"
            agent.rename(agent.with_suffix(".real"))
            agent.write_text(IDLE)
            agent.chmod(0o755)
            yield tmp_path / "root"
        finally:
            process.run(["umount", tmp_path / "root"], what="take the tree down")
    finally:
        process.run(["umount", tmp_path], what="give the room back")


def test_a_node_that_leaves_traces_fails_the_verification(idle: Path, document: dict[str, Any], store: Path) -> None:
    view = role_view(document)
    without = type(view)(view.name, view.listeners, (), view.login)
    result = verify_tree(idle, without, report=print, peers=store / "peers")
    failed = {check.name: check.detail for check in result.checks if not check.ok}
    assert set(failed) == {"the node leaves without a trace", "leaving again changes nothing"}, failed
    for trace in ("state ready", "account SI-", "/etc/krb5.keytab", "ports [25", "a secret in "):
        assert trace in failed["the node leaves without a trace"]
