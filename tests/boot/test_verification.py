"""The verification can say no."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailimg import manifest, process
from mailimg.commands.verify import role_view
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
