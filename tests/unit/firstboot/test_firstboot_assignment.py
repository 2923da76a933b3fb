"""Whose server works on whose mail: shares, Dovecot's file, and servers that come, go and fall silent."""

from pathlib import Path
from typing import Any

import pytest
from firstboot_doveadm import Doveadm
from firstboot_fuse import Killed
from firstboot_machine import INSTANCE, FakeHost
from firstboot_sharing import ME, OTHER, goal, participant, serving
from firstboot_store import SIBLINGS

from mailimg_firstboot import assignment, moving, myself, roster
from mailimg_firstboot.assignment import SLOTS
from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.rolefile import PassOn
from mailimg_firstboot.steps import aside
from mailimg_firstboot.steps import assignment as step


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
        "24/ff:::::::nopassword=y proxy=y host=10.0.0.8 port=10124 proxy_timeout=620 destuser=%{orig_user}\n"
        "143/ff:::::::nopassword=y proxy=y host=imap.example.org hostip=10.0.0.8 starttls=yes port=10143\n")
    assert assignment.content([INSTANCE] * SLOTS, {INSTANCE: "10.0.0.7"}, ME, rules) == b""
    assert assignment.content([], {}, ME, rules) == b"", "nobody serves: everything stays here"


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


def test_a_daemon_that_has_ended_is_no_fault_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs every 15 s: whoever stopped the daemon knows. As soon as it serves again, its sessions are asked for."""
    host = participant(tmp_path)
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    dovecot = Doveadm(host, monkeypatch)
    host.answers["sibling"] = "no answer"
    dovecot.stuck.add("who")
    assert not assignment.refresh(host, goal(host).role, ME).whole
    host.answers.clear()
    with pytest.raises(StepError, match="ask Dovecot for its sessions"):
        assignment.refresh(host, goal(host).role, ME)
    dovecot.stuck.clear()
    assert assignment.refresh(host, goal(host).role, ME).passed_on == ["anna"]


def test_after_a_boot_its_users_are_the_others_until_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dovecot must not start with the table of before the boot, in which its old slots are its own."""
    host = serving(tmp_path)
    host.write(SIBLINGS, b"143/00: as it was")
    host.nfs.roster.update({OTHER: ("10.0.0.8", 10.0), INSTANCE: (ME.address, 20.0)})
    dovecot = Doveadm(host, monkeypatch)
    aside.apply(host, goal(host))
    assert host.nfs.roster[INSTANCE] == ("", 0.0)
    assert len((host.read(SIBLINGS) or b"").splitlines()) == 2 * SLOTS
    assert dovecot.asked == [], "it does not run yet"
    assert (step.left(host, goal(host)), host.read(roster.STATE) is None) == (None, False)
    step.renewed(host, goal(host))
    assert not (roster.read(host) or ME).address, "a new certificate does not make it serve"
    step.apply(host, goal(host))
    assert host.nfs.roster[INSTANCE] == (ME.address, 0.0)
    assert len((host.read(SIBLINGS) or b"").splitlines()) < 2 * SLOTS
    table = host.read(SIBLINGS)
    aside.apply(host, goal(host))
    aside.undo(host, goal(host))
    assert (host.read(SIBLINGS), roster.read(host)) == (table, myself.me(goal(host))), "it serves by now"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_anywhere_it_takes_part_and_leaves(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a boot to its place among the others, and out again: each change may be the last."""
    def boot(host: FakeHost) -> None:
        aside.apply(host, goal(host))
        step.apply(host, goal(host))

    def leave(host: FakeHost) -> None:
        step.undo(host, goal(host))

    for act, least in ((boot, 8), (leave, 8)):
        number, whole = 0, False
        while not whole:
            host = serving(tmp_path / f"{act.__name__}{number}")
            host.nfs.roster.update({OTHER: ("10.0.0.8", 10.0), INSTANCE: (ME.address, 20.0)})
            dovecot = Doveadm(host, monkeypatch)
            if act is leave:
                boot(host)
                dovecot.sessions.add("anna")
            host.fuse.blows = (len(host.fuse.changes) + number, moment)
            try:
                act(host)
                whole = True
            except Killed:
                number += 1
            host.fuse.dead, host.fuse.blows = False, None
            if act is boot or step.left(host, goal(host)):
                act(host)
            assert dovecot.sessions == {"bela"}
            lines = len((host.read(SIBLINGS) or b"").splitlines())
            served = host.nfs.roster.get(INSTANCE, ("", 0.0))[0] == ME.address
            assert (served, lines < 2 * SLOTS, roster.read(host) is not None) == ((act is boot,) * 3)
        assert number >= least


def test_after_a_boot_of_all_each_keeps_its_own(tmp_path: Path) -> None:
    """Nobody is there yet: with an empty table each would work on everybody's mail."""
    host = serving(tmp_path)
    host.write(SIBLINGS, b"143/00: as it was")
    host.nfs.roster[OTHER] = ("", 1.0)
    aside.apply(host, goal(host))
    assert host.read(SIBLINGS) == b"143/00: as it was"


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
        host.remove(roster.STATE)
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
        host.write(roster.STATE, roster.written(ME._replace(host="new.example.org")))
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
    assert host.read(roster.STATE) is None, "a server that does not serve takes no part"
    host.write(roster.STATE, roster.written(ME))
    step.renewed(host, goal(host))
    assert roster.read(host) == myself.me(goal(host))
