"""What servers that are gone leave in pools, in Heat, in a real Active Directory (Samba): shown, then removed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mailimg import process

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def told(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `reap_inside.py` saw; it runs once."""
    folder = tmp_path_factory.mktemp("reap")
    command = [sys.executable, str(Path(__file__).with_name("reap_inside.py")), str(folder), str(store_root)]
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = process.run(process.confine(command, network=True), what="reap", timeout=600, env=env)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def kinds(run: dict[str, Any], part: str) -> list[tuple[str, str, str]]:
    return sorted((one["kind"], one["instance"], one["server"]) for one in run["out"][part])


def test_only_what_instances_that_are_gone_have_made_is_found(told: dict[str, Any]) -> None:
    dead, foreign = told["ids"]["dead"], told["ids"]["foreign"]
    assert told["dry"]["status"] == 0
    assert kinds(told["dry"], "found") == sorted([
        ("account", dead, "deleted"), ("account", dead, "deleted"), ("account", foreign, "unknown"),
        ("member", dead, "deleted"), ("member", foreign, "unknown"),
        ("order", dead, "deleted"), ("order", foreign, "unknown")])
    assert told["dry"]["out"]["removed"] == []


def test_without_yes_nothing_is_removed(told: dict[str, Any]) -> None:
    assert "Nothing was removed: say --yes." in told["dry words"]["err"]
    assert told["dry words"]["out"].count("would be removed") == 4
    assert told["dry words"]["out"].count("left alone: Nova knows nothing of its server") == 3
    assert len(told["before"]["members"]) == 6
    assert len(told["before"]["accounts"]) == 7
    assert len(told["before"]["orders"]) == 3


def test_with_yes_what_is_known_to_be_gone_goes_and_nothing_else(told: dict[str, Any]) -> None:
    names = told["names"]
    assert told["after"]["members"] == ["alive", "by hand", "foreign", "nameless", "other"]
    assert told["after"]["accounts"] == sorted(
        ["COPY", "MARKED", "PRESET", "SI-0123456789", names["alive"], names["foreign"]])
    assert sorted(told["after"]["orders"]) == sorted([told["ids"]["alive"], told["ids"]["foreign"]])


def test_what_the_login_may_not_delete_is_told_and_keeps_nothing_else(told: dict[str, Any]) -> None:
    run = told["yes"]
    assert run["status"] == 1
    assert "error: 1 of 4 leftovers are still there" in run["err"]
    assert "delete CN=MARKED,OU=servers," in run["err"]
    assert "an administrator, may delete them: --login and --password-file." in run["err"]
    assert run["out"].count(": removed") == 3
    assert told["again"]["status"] == 1
    assert kinds(told["again"], "removed") == []


def test_an_administrator_and_what_nova_has_forgotten(told: dict[str, Any]) -> None:
    names = told["names"]
    assert told["admin"]["status"] == 0, told["admin"]["err"]
    assert told["in the end"]["members"] == ["alive", "by hand", "nameless", "other"]
    assert told["in the end"]["accounts"] == sorted(["COPY", "PRESET", "SI-0123456789", names["alive"]])
    assert told["in the end"]["orders"] == [told["ids"]["alive"]]
    assert "nothing is left behind" in told["pools only"]["out"]
    assert "the directory is not looked at: no --site" in told["pools only"]["err"]


@pytest.mark.parametrize(("case", "status", "words"), [
    ("stranger", 1, ("ldap_start_tls", "does its certificate chain to directory.ca")),
    ("wrong login", 1, ("Invalid credentials (49)", "counts towards the account's lock-out")),
    ("no login", 2, ("join.ou: missing", "join.user: missing", "join.password: missing")),
])
def test_a_directory_that_cannot_be_asked_ends_it_before_anything_is_removed(
    told: dict[str, Any], case: str, status: int, words: tuple[str, ...],
) -> None:
    assert told[case]["status"] == status
    for word in words:
        assert word in told[case]["err"]
    assert len(told["before"]["members"]) == 6


def test_no_password_is_shown(told: dict[str, Any]) -> None:
    assert not [name for name, run in told.items() if run.get("secret")]
