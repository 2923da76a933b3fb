"""Real mail through real nodes, and what `mailimg trace` finds of it in their logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mailimg import manifest
from mailimg import trace as tracing
from mailimg.commands.verify import stored_tree

pytestmark = pytest.mark.boot

ROOT = Path(__file__).resolve().parents[2]
PATHS = ("tests/boot", "builder")
ROLES = ("smtp-in", "pop-imap-lda", "smtp-out")


@pytest.fixture(scope="module")
def played(images: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder with the logs of three nodes, by form, and the ids of what was sent, by name."""
    trees = {}
    for role in ROLES:
        document = manifest.read(images / f"{role}-debian-12.qcow2")
        trees[role] = [str(stored_tree(document, store)), document["contract"]["login"]]
    folder = tmp_path_factory.mktemp("trace")
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable,
            str(ROOT / "tests/boot/trace_inside.py"), str(folder), json.dumps(trees), "inbound,rare,outbound,forwarded"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in PATHS)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "logs", dict(json.loads(done.stdout))


def trace(asked: str, *logs: Path) -> dict[str, Any]:
    """What the command says."""
    words = [word for log in logs for word in ("--logs", str(log))]
    command = [str(Path(sys.executable).parent / "mailimg"), "trace", asked, "--json", *words]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


@pytest.mark.parametrize(("name", "expected", "nodes"), [
    ("clean", {"anna@example.org": "delivered"}, ["mx-1", "mx-1", "box-1"]),
    ("list", {"anna@example.org": "delivered", "bela.b@example.org": "delivered"}, ["mx-1", "mx-1", "box-1"]),
    ("spam", {"anna@example.org": "quarantined"}, ["mx-1"]),
    ("full", {"anna@example.org": "delivered", "carla@example.org": "deferred"}, ["mx-1", "mx-1", "box-1"]),
    ("long", {"anna@example.org": "delivered", "bela.b@example.org": "delivered"}, ["mx-1", "mx-1", "box-1"]),
    ("out", {"someone@elsewhere.example": "delivered", "bela.b@example.org": "delivered"}, ["out-1", "box-1"]),
    ("infected", {"someone@elsewhere.example": "rejected"}, ["out-1"]),
    ("nowhere", {"someone@no-such-domain.example": "bounced"}, ["out-1", "out-1", "box-1"]),
    ("forwarded", {"bela.b@example.org": "forwarded", "someone@elsewhere.example": "delivered"},
     ["mx-1", "mx-1", "box-1", "box-1", "out-1"]),
])
def test_a_message_is_followed(played: tuple[Path, dict[str, str]], name: str, expected: dict[str, str],
                               nodes: list[str]) -> None:
    """By the form that keeps most."""
    logs, sent = played
    found = trace(sent[name], *sorted(logs.glob("*.json.log")))
    assert {one["recipient"]: one["state"] for one in found["recipients"]} == expected
    assert [hop["node"] for hop in found["hops"]] == nodes


def test_every_form_says_the_same(played: tuple[Path, dict[str, str]]) -> None:
    logs, sent = played
    for message_id in sent.values():
        told = []
        for form in ("json", "short-iso", "short-iso-precise", "short", "short-full"):
            found = tracing.trace(message_id, sorted(logs.glob(f"*.{form}.log")))
            told.append({(one.recipient, one.state, one.hop) for one in found.verdicts})
        assert told == [told[0]] * 5, message_id


def test_every_layer_logs_the_message_id(played: tuple[Path, dict[str, str]]) -> None:
    """Postfix, amavis, Dovecot and clamav-milter by themselves; OpenDKIM by Postfix's queue id."""
    logs, sent = played
    for name, daemons in (("clean", {"postfix/cleanup", "amavis", "dovecot"}),
                          ("infected", {"postfix/cleanup", "clamav-milter"})):
        found = trace(sent[name], *logs.glob("*.json.log"))
        assert {event["daemon"] for event in found["events"] if event.get("message_id")} == daemons
    found = trace(sent["out"], *logs.glob("*.json.log"))
    assert any(event["daemon"] == "opendkim" for event in found["events"])
