"""What `mailimg lab` says to people, and how it reads what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from lab_world import made

from mailimg import process
from mailimg.commands import lab, labview
from mailimg.errors import InputError, StepError
from mailimg.lab import images, start, state

MEMINFO = "MemTotal:       4000000 kB\nMemFree:         100000 kB\nMemAvailable:   {} kB\n"


def test_memory_is_said_beforehand() -> None:
    plan = made()
    assert start.check_memory(plan, MEMINFO.format(8 << 20)) == (
        f"memory: about {plan.memory_mib} MiB needed, 8192 MiB available")


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(StepError, match="start the lab: memory: about 10740 MiB needed, 2048 MiB available") as caught:
        start.check_memory(made(everything=True), MEMINFO.format(2 << 20))
    assert "--memory ROLE=MIB" in caught.value.hint


def test_containers_that_could_watch_no_files_are_refused() -> None:
    start.check_watches(made(), 128, 78)
    with pytest.raises(StepError, match="its containers need 50 inotify instances; 79 of 128 are in use") as caught:
        start.check_watches(made(), 128, 79)
    assert caught.value.hint == "Allow more: sysctl fs.inotify.max_user_instances=1024"
    start.check_watches(made(everything=True), 128, 128)


def test_all_missing_images_with_the_command_that_builds_them(tmp_path: Path) -> None:
    (tmp_path / "sogo-debian-12.qcow2").touch()
    with pytest.raises(InputError) as caught:
        images.find(tmp_path, ["smtp-in", "smtp-out", "sogo"], "debian-12", tmp_path / "store")
    assert caught.value.problems == tuple(
        f"{tmp_path}/{role}-debian-12.qcow2: there is no such image" for role in ("smtp-in", "smtp-out"))
    assert caught.value.hint == (
        f"Build them: mailimg build --role smtp-in --role smtp-out --distro debian-12 --output {tmp_path}")


def test_missing_images_do_not_hide_what_is_wrong_with_the_options(tmp_path: Path) -> None:
    done = CliRunner().invoke(lab.up, [
        "--images", str(tmp_path), "--store", str(tmp_path / "store"), "--name", "a_b", "--memory", "nfs=²",
        "--nodes", "nfs=0", "--nodes", "mx=2", "--nodes", "sogo=10", "--set", "smtp-in=1", "--set", "mua.x=1"])
    assert isinstance(done.exception, InputError)
    told = "\n".join(done.exception.problems)
    for words in ("--name 'a_b'", "--memory nfs=²: not a number", "--nodes nfs=0: not a number",
                  "--set smtp-in=1: not ROLE.NAME=VALUE", "/nfs-debian-12.qcow2: there is no such image",
                  "--nodes: mx: the lab has no such role", "--nodes: sogo=10: the lab has one to 9 of them",
                  "--set: mua: the lab has no such role"):
        assert words in told, told


@pytest.mark.parametrize("name", ["", "-a", "a_b", "Site", "a/b", "x" * 23])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="--name"):
        state.State(name)


def test_a_lab_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="lab site: does not run") as caught:
        start.running("site", tmp_path)
    assert caught.value.hint == "Start it: `mailimg lab up`."
    (tmp_path / "lab-site").mkdir()
    with pytest.raises(StepError, match="lab site: its supervisor has ended") as caught:
        start.running("site", tmp_path)
    assert caught.value.hint == "Remove what it left: `mailimg lab down`."


def test_a_process_that_took_the_number_of_a_supervisor_is_not_it(tmp_path: Path) -> None:
    found = state.State("site", tmp_path)
    found.make({"name": "site"})
    mine = process.start_time(1)
    assert mine > 0
    found.write({"supervisor": {"pid": 1, "started": mine + 1}})
    assert found.supervisor == 0
    found.write({"supervisor": {"pid": 1, "started": mine}})
    assert found.supervisor == 1


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    found = state.State("site", tmp_path)
    found.make({"name": "site"})
    assert found.folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StepError, match="somebody else starts it"):
        found.make({"name": "site"})


def test_numbers_and_parameters() -> None:
    problems: list[str] = []
    assert labview.numbers("--memory", [("nfs", "x"), ("smtp-out", "512"), ("smtp-in", "512\u00b2"), ("sogo", "5")],
                           "MiB", 64, problems) == {"smtp-out": 512}
    assert labview.parameters([("smtp-in.amavis_workers", "4"), ("smtp-in.spam_mark", "5.5"), ("smtp-in", "4"),
                               ("pop-imap-lda.search", "none")], problems) == {
        "smtp-in": {"amavis_workers": 4, "spam_mark": 5.5}, "pop-imap-lda": {"search": "none"}}
    assert problems == ["--memory nfs=x: not a number of MiB from 64 on",
                        "--memory smtp-in=512\u00b2: not a number of MiB from 64 on",
                        "--memory sogo=5: not a number of MiB from 64 on", "--set smtp-in=4: not ROLE.NAME=VALUE"]


def test_a_plan_for_people() -> None:
    lines = list(labview.plan_lines(made()))
    assert lines[0].startswith("lab t, storage: bind, about ")
    assert any(line.split()[:3] == ["node", "smtp-in-1", "10.91.0.11"] for line in lines)
    assert any(line.split()[:3] == ["vip", "imap", "10.91.0.105"] for line in lines)


def test_events_for_people() -> None:
    def said(**event: object) -> list[str]:
        return list(labview.event_lines({"at": 3.25, **event}))

    assert said(event="phase", phase="booting") == ["    3.2 s  lab: booting"]
    assert said(event="node", node="sogo-1", state="", text="    1.0 s  agent: join: done") == [
        "    3.2 s  sogo-1: agent: join: done"]
    assert said(event="node", node="sogo-1", state="off", text="cut off") == ["    3.2 s  sogo-1: off: cut off"]
    assert said(event="node", node="sogo-1", state="", text="    9.9 s  ready") == []
    assert said(event="node", node="sogo-1", state="ready", text="ready sogo") == ["    3.2 s  sogo-1: ready"]
    assert said(event="node", node="sogo-1", state="", text=f"agent: warning: x: {labview.OWN_DOING}") == []


def test_state_is_replaced_whole(tmp_path: Path) -> None:
    found = state.State("site", tmp_path)
    found.make({"name": "site"})
    assert found.read() == {}
    found.write({"phase": "up"})
    assert found.read() == {"phase": "up"}
    (found.folder / "state.json").write_text("{")
    assert found.read() == {}
    assert json.loads(found.request.read_text()) == {"name": "site"}
