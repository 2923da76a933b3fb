"""Mailboxes on the storage server's own image, between two guests: mounted, lost, refused, mounted otherwise."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from storage_inside import FOLDERS, LETTERS

from mailimg import manifest, process
from mailimg.commands.verify import role_view

pytestmark = pytest.mark.boot

SOURCE = "10.90.0.10:/NFSVOL"


@pytest.fixture(scope="module")
def seen(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened, in the order of the keys; the guests are booted once."""
    pair = [images / f"{role}-debian-12.qcow2" for role in ("nfs", "pop-imap-lda")]
    script = Path(__file__).with_name("storage_inside.py")
    scratch = tmp_path_factory.mktemp("storage")
    login = manifest.read(pair[1])["contract"]["login"]
    command = [sys.executable, str(script), *map(str, pair), str(scratch), login]
    told = process.run(process.confine(command, network=True), what="boot storage and mailboxes", timeout=2400,
                       env={"PYTHONPATH": ":".join(sys.path)})
    return dict(json.loads(told.stdout))


def step(run: dict[str, Any]) -> str:
    """State of the step `storage` in a run of the agent."""
    return {one["name"]: one["state"] for one in run["steps"]}["storage"]


def test_a_boot_waits_for_its_storage(seen: dict[str, Any]) -> None:
    assert seen["verdict"].startswith("ready pop-imap-lda"), seen["boot"]
    assert [line for line in seen["boot"] if "storage server 10.90.0.10 does not answer at port 2049: " in line]
    assert seen["first"]["step"]["state"] == "done"
    assert seen["first"]["step"]["attempts"] > 1


def test_version_3_as_the_recipe_has_it(seen: dict[str, Any]) -> None:
    kind, source, options = seen["first"]["mount"].split()
    assert (kind, source) == ("nfs", SOURCE)
    assert {"rw", "vers=3", "hard", "proto=tcp", "nordirplus", "rsize=32768", "wsize=32768", "nolock", "nosuid",
            "nodev", "noexec"} <= set(options.split(","))


def test_nothing_listens_for_nfs(seen: dict[str, Any], images: Path) -> None:
    role = role_view(manifest.read(images / "pop-imap-lda-debian-12.qcow2"))
    assert set(seen["first"]["listeners"]) == set(role.listeners)


def test_the_mount_point_is_closed_and_the_folders_are_there(seen: dict[str, Any]) -> None:
    assert seen["first"]["below"] == "0:0:0"
    assert seen["first"]["owners"] == ["4096", "5000:5000:700"]


def test_a_second_run_changes_nothing(seen: dict[str, Any]) -> None:
    assert seen["second run"]["state"] == "ready"
    assert step(seen["second run"]) == "clean"


@pytest.mark.parametrize("version", ["3", "4.2"])
def test_one_of_many_prepares(seen: dict[str, Any], version: str) -> None:
    told = seen[f"prepared by {version}"]
    assert [one["made"] for one in told if one.get("made")] == [FOLDERS]
    # Who came while it was at work went away; who came afterwards found nothing to do.
    assert all("busy" in one or one["made"] in (0, FOLDERS) for one in told), told


def test_a_power_failure_of_the_server_loses_nothing(seen: dict[str, Any]) -> None:
    failure = seen["power failure"]
    assert failure["writer"] == "active", "a hard mount waits"
    assert "the storage server has not answered for 20 s" in failure["check"], "the agent does not"
    assert failure["check seconds"] < 100
    assert {"Result=success", "ActiveState=inactive"} <= set(failure["result"]), failure
    assert failure["letters"] == LETTERS


def test_what_is_in_use_is_not_taken_away(seen: dict[str, Any]) -> None:
    assert seen["in use"]["state"] == "failed"
    assert f"{SOURCE} is still mounted at /MAILBOXES: something uses it" in seen["in use"]["message"]
    assert "vers=3" in seen["in use"]["mount"]


@pytest.mark.parametrize("version", ["4.1", "4.2"])
def test_version_4(seen: dict[str, Any], version: str) -> None:
    run = seen[f"by {version}"]
    assert run["state"] == "ready", run
    assert step(run) == "done"
    kind, source, options = run["mount"].split()
    assert (kind, source) == ("nfs4", SOURCE)
    assert {f"vers={version}", "hard", "proto=tcp", "noexec"} <= set(options.split(","))


@pytest.mark.parametrize(("what", "words"), [
    ("no such export", "mount 10.90.0.10:/OTHER by NFS 3: 10.90.0.10 exports /NFSVOL"),
    ("not for us", f"mount {SOURCE} by NFS 3: 10.90.0.10 exports it, but not to this instance"),
    ("nobody there", "storage server 10.90.0.99 does not answer at port 2049: "),
])
def test_a_refusal_is_waited_out_and_named(seen: dict[str, Any], what: str, words: str) -> None:
    assert any(wait.startswith("storage: " + words) for wait in seen[what]["waits"]), seen[what]
    assert "interrupted by SIGTERM" in seen[what]["message"], "it would have waited on"


@pytest.mark.parametrize(("what", "words"), [
    ("read-only", "write to /MAILBOXES: Read-only file system"),
    ("owner", "the root of what is mounted at /MAILBOXES belongs to 0:0, not to 5000:5000"),
])
def test_what_no_waiting_mends_ends_the_run(seen: dict[str, Any], what: str, words: str) -> None:
    assert seen[what]["state"] == "failed"
    assert words in seen[what]["message"]
    assert step(seen[what]) == "failed"
