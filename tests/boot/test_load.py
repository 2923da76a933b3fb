"""More mail than a node can take is put off, never refused, never lost, never there twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailimg import manifest
from mailimg.commands.verify import role_view, stored_tree
from mailimg.verify import RoleView, verify_tree

pytestmark = pytest.mark.boot

FULL = "a full queue puts mail off, empties itself and loses nothing"


@pytest.mark.parametrize(("role", "scenario"), [
    ("smtp-in", "load_overload"), ("pop-imap-lda", "load_overload_delivery"),
])
def test_overload_puts_mail_off_and_loses_nothing(role: str, scenario: str, images: Path, store: Path) -> None:
    """Of one client, by the number of its connections; of all, by the room that the queue has left."""
    document = manifest.read(images / f"{role}-debian-12.qcow2")
    whole = role_view(document)
    view = RoleView(whole.name, whole.listeners, (scenario,), whole.login)
    result = verify_tree(stored_tree(document, store), view, report=print, peers=store / "peers")
    assert [check.detail for check in result.checks if not check.ok] == []
    assert FULL in {check.name for check in result.checks}
