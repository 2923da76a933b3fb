"""More mail than a node can take is put off, never refused, never lost, never there twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailimg.commands.verify import role_view
from mailimg.verify import RoleView, verify_tree

pytestmark = pytest.mark.boot


def test_overload_puts_mail_off_and_loses_nothing(tree: Path, document: dict[str, Any], store: Path) -> None:
    """Of one client, by the number of its connections; of all, by the room that the queue has left."""
    whole = role_view(document)
    view = RoleView(whole.name, whole.listeners, ("load_overload",), whole.login)
    result = verify_tree(tree, view, report=print, peers=store / "peers")
    assert [check.detail for check in result.checks if not check.ok] == []
    assert "a full queue puts mail off, empties itself and loses nothing" in {check.name for check in result.checks}
