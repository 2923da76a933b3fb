"""An instance with wrong metadata says so on its console, keeps ssh for the operator, and takes no mail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mailimg import process

pytestmark = pytest.mark.boot

WORDS = {
    "absent": "no site document in metadata: the server has no user data",
    "truncated": "user_data: line",
    "unknown key": "site: domian: unknown key; do you mean `domains`?",
    "other role": "site: role: the document is for smtp-out, this is an instance of smtp-in",
}


@pytest.fixture(scope="module")
def seen(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each faulty instance did; all are booted in one set of namespaces."""
    script = Path(__file__).with_name("faults_inside.py")
    command = [sys.executable, str(script), str(tree), str(tmp_path_factory.mktemp("faults"))]
    told = process.run(process.confine(command, network=True), what="boot with wrong metadata", timeout=600,
                       env={"PYTHONPATH": ":".join(sys.path)})
    return dict(json.loads(told.stdout))


@pytest.mark.parametrize("fault", list(WORDS))
def test_it_says_what_is_wrong_and_takes_no_mail(seen: dict[str, Any], fault: str) -> None:
    node = seen[fault]
    assert node["verdict"].startswith("FAILED metadata: "), node
    assert WORDS[fault] in node["verdict"]
    assert node["ssh"], "the operator must get in"
    assert not node["smtp"], "it takes mail"
