"""Whose server works on whose mail: shares, Dovecot's file, and servers that come, go and fall silent."""

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_certificates import made
from firstboot_doveadm import Doveadm
from firstboot_fuse import Killed
from firstboot_machine import INSTANCE, SITE, FakeHost, machine, with_keys, work
from firstboot_pools import POOLED
from firstboot_store import SIBLINGS, STORED_KEYS

from mailimg_firstboot import assignment, moving, onstorage
from mailimg_firstboot.assignment import SLOTS, VOID_AFTER, Me
from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.rolefile import PassOn
from mailimg_firstboot.steps import assignment as step
from mailimg_firstboot.work import Work

NETWORKS = ["10.0.0.0/24", "fd00::/64"]
ME = Me(INSTANCE, "10.0.0.7", "imap.example.org", NETWORKS)
OTHER = "aaaaaaaa-3f4e-4d0e-9a53-7a3f2a1b0c9d"


def serving(path: Path) -> FakeHost:
    """A machine whose role shares a storage."""
    return machine(path, True, True)


def participant(path: Path) -> FakeHost:
    """One that takes part."""
    host = serving(path)
    host.write(assignment.STATE, assignment.written(ME))
    return host


def goal(host: FakeHost) -> Work:
    """What it is to be, with a certificate."""
    document = with_keys(SITE, **STORED_KEYS, **POOLED, balancer__address=ME.address)
    return work(host, document)._replace(certificate=made())


def test_shares_are_fair_and_only_those_move_that_must() -> None:
    names = ["one", "two", "three", "four"]
    before = assignment.owners(names)
    assert len(before) == SLOTS
    assert all(SLOTS / 8 < before.count(name) < SLOTS / 2 for name in names), {one: before.count(one) for one in names}
    assert assignment.owners(reversed(names)) == before, "each server works it out for itself"
    after = assignment.owners(names[:-1])
    moved = {old for old, new in zip(before, after) if old != new}
    assert moved == {"four"}
    assert assignment.owners([]) == []
    assert set(assignment.owners(["one"])) == {"one"}


def test_the_file_has_lines_for_slots_of_others_only() -> None:
    chosen = [INSTANCE] * (SLOTS - 1) + [OTHER]
    rules = [PassOn(24, 10124, False), PassOn(143, 10143, True)]
    assert assignment.content(chosen, {INSTANCE: "10.0.0.7", OTHER: "10.0.0.8"}, ME, rules).decode() == (
        "24/ff:::::::nopassword=y proxy=y host=10.0.0.8 port=10124 destuser=%{orig_user}\n"
        "143/ff:::::::nopassword=y proxy=y host=imap.example.org hostip=10.0.0.8 starttls=yes port=10143\n")
    assert assignment.content([INSTANCE] * SLOTS, {INSTANCE: "10.0.0.7"}, ME, rules) == b""
    assert assignment.content([], {}, ME, rules) == b"", "nobody serves: everything stays here"


def test_who_is_counted_on() -> None:
    found = {"fresh": ("10.0.0.7", 0.0), "late": ("10.0.0.8", VOID_AFTER), "silent": ("10.0.0.9", VOID_AFTER + 1),
             "set-back": ("10.0.0.10", -VOID_AFTER - 1), "stopped": ("", 0.0), "six": ("FD00:0::7", -3.0),
             "hostile": ("10.0.0.1 host=evil\n24/00", 0.0)}
    assert assignment.alive(found, NETWORKS) == {"fresh": "10.0.0.7", "late": "10.0.0.8", "six": "fd00::7"}
    assert assignment.alive(found, []) == {}


@pytest.mark.parametrize("text", [
    "::1%0 host=6.6.6.6 hostip=6.6.6.6 port=143\n", "fd00::7%eth0", "fd00::7%\ufffd", "6.6.6.6", "fd00:0:0:1::7",
    "10.0.0.7/24", "10.0.0.7\n", " 10.0.0.7", "\ufffd",
])
def test_what_is_no_address_of_the_site_names_no_server(text: str) -> None:
    assert assignment.alive({"one": (text, 0.0)}, NETWORKS) == {}


@pytest.mark.parametrize("name", [b"\xff\xfe", b"new\nline", b"a b", "caf\u00e9".encode()])
def test_bytes_that_are_no_text_on_the_storage(name: bytes, tmp_path: Path) -> None:
    """Neither as a name nor in a file do they keep a server from reporting."""
    roster = tmp_path / onstorage.ROSTER
    roster.mkdir()
    (roster / os.fsdecode(name)).write_text("10.0.0.8")
    (roster / "two").write_bytes(b"fd00::7%" + name)
    (roster / "folder").mkdir()
    told = json.loads(json.dumps(onstorage.report(tmp_path, "one", "10.0.0.7")))
    found = {one: (str(where), float(age)) for one, (where, age) in told["servers"].items()}
    assert set(found) == {"one", "two", os.fsdecode(name)}
    servers = assignment.alive(found, NETWORKS)
    assert servers == {"one": "10.0.0.7"}
    assert assignment.owners(servers) == ["one"] * SLOTS


def test_an_address_outside_of_the_networks_is_told(tmp_path: Path) -> None:
    """The others would pass nobody on to it."""
    host = serving(tmp_path)
    mine = goal(host)
    with pytest.raises(StepError, match=r"10\.9\.9\.9 does not lie in the site's networks"):
        step.me(mine._replace(site=with_keys(mine.site, balancer__address="10.9.9.9")))


@pytest.mark.parametrize(("names", "host"), [
    (["imap.example.org", "*.example.org"], "imap.example.org"),
    (["*.example.org"], "mailbox-1.example.org"),
])
def test_a_name_that_the_certificate_covers(names: List[str], host: str) -> None:
    assert assignment.covered(names, "mailbox-1") == host


def test_a_certificate_without_names_cannot_be_checked() -> None:
    with pytest.raises(StepError, match="has no DNS name"):
        assignment.covered([], "mailbox-1")


def test_alone_it_passes_nothing_on(tmp_path: Path) -> None:
    host = serving(tmp_path)
    step.apply(host, goal(host))
    assert host.nfs.roster == {INSTANCE: (ME.address, 0.0)}
    assert host.read(SIBLINGS) == b""
    assert step.TIMER in host.systemd.running


def test_another_takes_its_share_with_the_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = participant(tmp_path)
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    dovecot = Doveadm(host, monkeypatch)
    done = assignment.refresh(host, goal(host).role, ME)
    assert sum(slots for _, slots in done.servers.values()) == SLOTS
    assert (done.passed_on, done.changed) == (["anna"], True)
    assert dovecot.asked[-1] == ["kick", "anna"]
    lines = (host.read(SIBLINGS) or b"").decode().splitlines()
    assert len(lines) == 2 * done.servers[OTHER][1]
    dovecot.sessions.add("anna")
    again = assignment.refresh(host, goal(host).role, ME)
    assert (again.changed, again.passed_on) == (False, ["anna"]), "somebody may have come meanwhile"
    dovecot.uptime += moving.SETTLED
    assert assignment.refresh(host, goal(host).role, ME).passed_on == []
    questions = len(dovecot.asked)
    assert assignment.refresh(host, goal(host).role, ME).passed_on == []
    assert len(dovecot.asked) == questions, "nobody is asked anything while nothing changes"


def test_the_mark_stands_before_the_table_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off in between, the next run still ends the sessions of those who moved."""
    host = participant(tmp_path)
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    dovecot = Doveadm(host, monkeypatch)
    host.fuse.blows = (4, "after")
    with pytest.raises(Killed):
        assignment.refresh(host, goal(host).role, ME)
    assert host.fuse.changes[-1] == "write " + SIBLINGS
    host.fuse.dead, host.fuse.blows = False, None
    dovecot.uptime += 2 * moving.SETTLED
    done = assignment.refresh(host, goal(host).role, ME)
    assert (done.changed, done.passed_on) == (False, ["anna"])


def test_a_daemon_that_does_not_answer_is_not_counted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = participant(tmp_path)
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    Doveadm(host, monkeypatch)
    host.answers["sibling"] = "no answer"
    done = assignment.refresh(host, goal(host).role, ME)
    assert done.servers == {OTHER: ("10.0.0.8", SLOTS)}
    assert host.nfs.roster[INSTANCE][0] == ""


@pytest.mark.parametrize("step_of_clock", [3600.0, -3600.0])
def test_a_step_of_the_storages_clock_moves_nobody(
    step_of_clock: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others' reports look an hour old, or an hour late, until they have reported again."""
    host = participant(tmp_path)
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    Doveadm(host, monkeypatch)
    assignment.refresh(host, goal(host).role, ME)
    table = host.read(SIBLINGS)
    for _ in range(2):
        host.nfs.roster[OTHER] = ("10.0.0.8", step_of_clock)
        assert assignment.refresh(host, goal(host).role, ME).servers == {}
        assert host.read(SIBLINGS) == table
        host.nfs.roster[OTHER] = ("10.0.0.8", 2.0)
        assert set(assignment.refresh(host, goal(host).role, ME).servers) == {INSTANCE, OTHER}
        assert host.read(SIBLINGS) == table


def test_the_last_of_the_others_falls_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Believed at the second look, for it may be a clock; a goodbye, or a daemon that does not answer, at once."""
    host = participant(tmp_path)
    Doveadm(host, monkeypatch)
    for address, age, doubted in (("10.0.0.8", VOID_AFTER + 1, True), ("", 0.0, False)):
        host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
        assignment.refresh(host, goal(host).role, ME)
        host.nfs.roster[OTHER] = (address, age)
        if doubted:
            assert assignment.refresh(host, goal(host).role, ME).servers == {}
        assert assignment.refresh(host, goal(host).role, ME).servers == {INSTANCE: (ME.address, SLOTS)}
        assert host.read(SIBLINGS) == b""
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    assignment.refresh(host, goal(host).role, ME)
    del host.nfs.roster[OTHER]
    assert set(assignment.refresh(host, goal(host).role, ME).servers) == {INSTANCE}


def test_one_of_several_that_falls_silent_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = participant(tmp_path)
    Doveadm(host, monkeypatch)
    host.nfs.roster.update({OTHER: ("10.0.0.8", 10.0), "third": ("10.0.0.9", 10.0)})
    assignment.refresh(host, goal(host).role, ME)
    host.nfs.roster["third"] = ("10.0.0.9", VOID_AFTER + 1)
    assert set(assignment.refresh(host, goal(host).role, ME).servers) == {INSTANCE, OTHER}


def test_without_the_storage_all_stays_as_it_is(tmp_path: Path) -> None:
    host = participant(tmp_path)
    host.write(SIBLINGS, b"as it was")
    host.nfs.unfit = TransientError("the storage server has not answered")
    with pytest.raises(TransientError):
        assignment.refresh(host, goal(host).role, ME)
    assert host.read(SIBLINGS) == b"as it was"


def test_who_leaves_passes_everybody_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = serving(tmp_path)
    step.apply(host, goal(host))
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    Doveadm(host, monkeypatch)
    assert step.left(host, goal(host)) == "its siblings count on this server"
    step.undo(host, goal(host))
    assert step.left(host, goal(host)) is None
    assert set(host.nfs.roster) == {OTHER}
    assert len((host.read(SIBLINGS) or b"").splitlines()) == 2 * SLOTS
    assert step.TIMER not in host.systemd.running


def test_who_leaves_waits_for_a_run_that_is_at_it(tmp_path: Path) -> None:
    """A run that outlived its timer would report after the goodbye."""
    host = serving(tmp_path)
    step.apply(host, goal(host))
    before = len(host.fuse.changes)
    step.undo(host, goal(host))
    done = host.fuse.changes[before:]
    assert done.index("stop " + step.TIMER) < done.index("stop " + step.SERVICE) < done.index("retire")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_this_server_leaves_in_does_nothing(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`STATE` goes before or after the run has reported."""
    host = participant(tmp_path)
    host.write(SIBLINGS, b"as it was")
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    door, name = (host, "probe") if moment == "before" else (host.nfs, "report")
    real = getattr(door, name)

    def meanwhile(*arguments: Any) -> Any:
        told = real(*arguments)
        host.remove(assignment.STATE)
        return told

    monkeypatch.setattr(door, name, meanwhile)
    assert assignment.refresh(host, goal(host).role, ME) == assignment.NOTHING
    assert (set(host.nfs.roster), host.read(SIBLINGS)) == ({OTHER}, b"as it was")
    assert ("report" in host.fuse.changes) == (moment == "after")


def test_a_run_that_a_renewal_overtakes_leaves_the_table_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = participant(tmp_path)
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    real = host.nfs.report

    def meanwhile(*arguments: Any) -> Any:
        host.write(assignment.STATE, assignment.written(ME._replace(host="new.example.org")))
        return real(*arguments)

    monkeypatch.setattr(host.nfs, "report", meanwhile)
    assert assignment.refresh(host, goal(host).role, ME) == assignment.NOTHING
    assert set(host.nfs.roster) == {INSTANCE, OTHER}
    assert host.read(SIBLINGS) is None


def test_who_leaves_goes_on_until_all_sessions_have_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = serving(tmp_path)
    step.apply(host, goal(host))
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    dovecot = Doveadm(host, monkeypatch)
    dovecot.away.add("anna")
    with pytest.raises(TransientError, match="not all sessions"):
        step.undo(host, goal(host))
    assert step.left(host, goal(host)) is not None
    dovecot.away.clear()
    step.undo(host, goal(host))
    assert dovecot.sessions == {"bela"}
    assert (step.left(host, goal(host)), host.read(moving.MARK)) == (None, None)


def test_a_new_certificate_with_another_name(tmp_path: Path) -> None:
    host = serving(tmp_path)
    step.renewed(host, goal(host))
    assert host.read(assignment.STATE) is None, "a server that does not serve takes no part"
    host.write(assignment.STATE, assignment.written(ME))
    step.renewed(host, goal(host))
    assert assignment.read(host) == step.me(goal(host))


def test_the_roster_is_as_old_as_the_storage_says(tmp_path: Path) -> None:
    assert onstorage.report(tmp_path, "one", "10.0.0.7")["servers"] == {"one": ["10.0.0.7", 0.0]}
    roster = tmp_path / onstorage.ROSTER
    for name, age in (("two", 20.0), ("three", onstorage.FORGOTTEN + 60)):
        (roster / name).write_text("10.0.0.8")
        os.utime(roster / name, (time.time() - age, time.time() - age))
    found: Dict[str, Any] = onstorage.report(tmp_path, "one", "")["servers"]
    assert (found["one"], found["two"][0], set(found)) == (["", 0.0], "10.0.0.8", {"one", "two"})
    assert 19 < found["two"][1] < 30
    assert sorted(path.name for path in roster.iterdir()) == ["one", "two"], "who never said goodbye is forgotten"
    for _ in range(2):
        onstorage.retire(tmp_path, "one")
    assert [path.name for path in roster.iterdir()] == ["two"]
