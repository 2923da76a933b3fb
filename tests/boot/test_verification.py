"""The verification can say no."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailimg import manifest
from mailimg.commands.verify import role_view
from mailimg.verify import verify_image, verify_tree

pytestmark = pytest.mark.boot


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


def test_a_failing_check_fails_the_verification(tree: Path, document: dict[str, Any]) -> None:
    """A port that the role does not name: the verification must be able to say no."""
    view = role_view(document)
    wrong = type(view)(view.name, tuple(port for port in view.listeners if port != 25), (), view.login)
    result = verify_tree(tree, wrong, report=print)
    assert not result.ok
    assert [check.name for check in result.checks if not check.ok] == ["exactly the role's ports listen"]
    assert "listening but not named by the role: [25]" in next(c for c in result.checks if not c.ok).detail
