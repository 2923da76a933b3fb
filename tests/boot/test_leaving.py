"""Leaving, with real Postfixes from a built tree: each recipient of each message once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from conftest import side_by_side

ROOT = Path(__file__).resolve().parents[2]
PATHS = ("tests/boot", "builder", "firstboot")
LEFT = {"state": "left", "queue": 0, "active": False, "secret": False, "closed": True}
ORDER = ["drain", "assignment", "sessions", "intake", "flush", "handover", "services", "storage", "member", "account",
         "certificate", "secrets"]
STEPS = ("sessions", "intake", "flush", "handover", "services", "secrets")  # at which it is killed
ALL_ARRIVED: dict[str, Any] = {"lost": [], "more": []}


def play(folder: Path, tree: Path, scenario: str) -> dict[str, Any]:
    """Play a scenario of leave_inside.py in namespaces of its own; all that it starts ends with them."""
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable,
            str(ROOT / "tests/boot/leave_inside.py"), str(folder), str(tree), scenario]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in PATHS)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tree: Path,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """What happened in each scenario that a test of this session asks for."""
    with side_by_side(request, "scenario", lambda name: play(tmp_path_factory.mktemp("leaving"), tree, name)) as begun:
        yield begun


@pytest.fixture
def told(played: dict[str, Future[dict[str, Any]]], scenario: str) -> dict[str, Any]:
    """What happened in the scenario of a test."""
    return played[scenario].result()


def is_left(final: dict[str, Any]) -> bool:
    """Whether a node is as it must be after leaving."""
    return {key: final[key] for key in LEFT} == LEFT and list(final["steps"]) == ORDER


@pytest.mark.parametrize("scenario", ["whole"])
def test_deferred_and_held_mail_goes_to_a_sibling(told: dict[str, Any]) -> None:
    assert (told["status"], told["said"]) == (0, "")
    assert is_left(told["final"]), told["final"]
    assert told["mail"] == ALL_ARRIVED
    assert told["final"]["steps"]["sessions"] == "warning", "the session that stayed open had its time"
    assert any("sessions: 1 session open: 1 on port 25" in line for line in told["console"])
    assert told["console"][-1] == "mailimg: left lab mx-1"
    again = told["again"]
    assert (again["status"], again["same"]) == (0, True)
    assert is_left(again["final"])
    assert set(again["final"]["steps"].values()) == {"clean"}, "a second leave changes nothing"
    assert told["back"] == {"takes mail": True, "clean": None}, "a node that left can serve again"


@pytest.mark.parametrize("scenario", [f"killed:{step}:{when}" for step in STEPS for when in ("before", "after")])
def test_killed_at_a_step_it_goes_on(told: dict[str, Any], scenario: str) -> None:
    # No client is there, so the step for sessions has nothing to do and nobody kills it.
    assert told["first"] == (0 if ":sessions:" in scenario else -9)
    assert (told["second"], told["said"]) == (0, "")
    assert is_left(told["final"]), told["final"]
    assert told["mail"] == ALL_ARRIVED


@pytest.mark.parametrize("scenario", ["filtered"])
def test_mail_that_waits_for_a_filter_that_is_gone(told: dict[str, Any]) -> None:
    assert (told["status"], told["said"]) == (0, "")
    assert is_left(told["final"]), told["final"]
    assert told["mail"] == ALL_ARRIVED


@pytest.mark.parametrize("scenario", ["nobody"])
def test_nobody_takes_it(told: dict[str, Any]) -> None:
    """The node stays, drained, says so and names the queue ids; when the sibling is back, it leaves."""
    assert told["status"] == 1
    final = told["final"]
    assert (final["state"], final["queue"], final["active"], final["secret"], final["closed"]) == (
        "failed", 6, True, True, True)
    assert final["steps"]["handover"] == "failed"
    assert "services" not in final["steps"], "it keeps its account and its place"
    assert len(told["ids"]) == 6
    for one in told["ids"]:
        assert one in told["console"][-1]
        assert one in told["said"]
    assert told["console"][-1].startswith("mailimg: FAILED leave: handover: 6 messages left in the queue: ")
    assert told["second"]["status"] == 0
    assert is_left(told["second"]["final"])
    assert told["second"]["mail"] == ALL_ARRIVED
