"""What orders a supervisor takes, and what it answers to those that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailimg.errors import StepError
from mailimg.lab import control


def answer(verb: str, name: str) -> Any:
    if name == "moon":
        raise StepError("there is no 'moon'")
    return [verb, name]


def reply(order: object) -> dict[str, Any]:
    return control.reply(json.dumps(order).encode() + b"\n", answer)


@pytest.mark.parametrize("verb", ["stop", "kill", "start"])
def test_orders_name_who_is_meant(verb: str) -> None:
    assert reply({"do": verb, "name": "sogo-1"}) == {"ok": True, "value": [verb, "sogo-1"]}
    assert reply({"do": verb}) == {"ok": False, "error": f"{verb}: needs a name"}


def test_status_is_of_all() -> None:
    assert reply({"do": "status"}) == {"ok": True, "value": ["status", ""]}
    assert reply({"do": "status", "name": "x"}) == {"ok": False, "error": "status: takes no name"}


def test_what_cannot_be_done_is_told() -> None:
    assert reply({"do": "stop", "name": "moon"}) == {"ok": False, "error": "there is no 'moon'"}


@pytest.mark.parametrize("order", [{"do": "explode"}, {"name": "x"}, [], "x", {"do": ["stop"]}])
def test_what_is_no_order(order: object) -> None:
    assert reply(order) == {"ok": False, "error": "`do` is none of status, stop, kill, start"}


def test_what_is_no_json() -> None:
    assert control.reply(b"stop sogo-1\n", answer) == {"ok": False, "error": "not JSON"}


def test_a_name_is_a_text() -> None:
    assert reply({"do": "stop", "name": 5}) == {"ok": False, "error": "stop: needs a name"}
