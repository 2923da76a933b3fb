"""Sessions of users who are another server's now: all of them end, whatever is away meanwhile."""

from pathlib import Path

import pytest
from firstboot_doveadm import Doveadm
from firstboot_machine import machine

from mailimg_firstboot import moving
from mailimg_firstboot.roster import VOID_AFTER

PORT = 24
LOOKED_UP = """\
passdb: anna
  user      : anna
  proxy     : y
  host      : imap.example.org

passdb: bela
  user      : bela

passdb lookup: user gone doesn't exist
Error: passdb lookup failed for late: Internal error
"""


def test_answers_are_clear_or_none() -> None:
    users = {"anna", "bela", "gone", "late"}
    assert moving.answers(LOOKED_UP, users) == {"anna": True, "bela": False, "gone": False}
    assert moving.answers("", users) == {}
    assert moving.answers(LOOKED_UP, {"bela"}) == {"bela": False}


def test_nobody_is_asked_without_a_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path)
    dovecot = Doveadm(host, monkeypatch)
    assert moving.go_on(host, PORT).users == []
    assert dovecot.asked == []


@pytest.mark.parametrize("fault", ["away", "stuck"])
def test_who_gives_no_answer_is_asked_until_he_does(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The directory is away for an hour after the table changed."""
    host = machine(tmp_path)
    dovecot = Doveadm(host, monkeypatch)
    moving.mark(host)
    getattr(dovecot, fault).update({"anna", "lookup"})
    for _ in range(3):
        assert moving.go_on(host, PORT).users == []
        dovecot.uptime += 1200
    getattr(dovecot, fault).clear()
    assert moving.go_on(host, PORT).users == ["anna"]
    assert dovecot.sessions == {"bela"}
    assert host.read(moving.MARK) is None


def test_an_unknown_user_does_not_hide_one_without_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status of the command is that of the last one."""
    host = machine(tmp_path)
    dovecot = Doveadm(host, monkeypatch)
    dovecot.away.add("anna")
    dovecot.unknown.add("bela")
    moving.mark(host)
    dovecot.uptime += moving.SETTLED
    moving.go_on(host, PORT)
    assert host.read(moving.MARK) is not None
    dovecot.away.clear()
    moving.go_on(host, PORT)
    assert host.read(moving.MARK) is None


def test_a_kick_that_does_not_end_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path)
    dovecot = Doveadm(host, monkeypatch)
    moving.mark(host)
    dovecot.uptime += moving.SETTLED
    dovecot.stuck.add("kick")
    assert moving.go_on(host, PORT).users == []
    dovecot.stuck.clear()
    assert moving.go_on(host, PORT).users == ["anna"]
    assert host.read(moving.MARK) is None


def test_the_mark_stays_while_siblings_may_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path)
    dovecot = Doveadm(host, monkeypatch)
    moving.mark(host)
    dovecot.uptime += moving.SETTLED - 1
    moving.go_on(host, PORT)
    assert host.read(moving.MARK) is not None
    dovecot.uptime += 1
    moving.go_on(host, PORT)
    assert host.read(moving.MARK) is None


@pytest.mark.parametrize("fault", ["slow", "stuck"])
def test_a_run_is_short_and_the_next_goes_on(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred users whose server is another one, and commands that take a second each; or look-ups that hang."""
    host = machine(tmp_path)
    dovecot = Doveadm(host, monkeypatch)
    everybody = {"user{:04}".format(number) for number in range(200)}
    dovecot.sessions, dovecot.elsewhere = set(everybody), set(everybody)
    dovecot.each = 1.0
    dovecot.stuck = {"lookup"} if fault == "stuck" else set()
    moving.mark(host)
    ended, runs = [], 0
    while dovecot.sessions:
        begun = dovecot.uptime
        ended += moving.go_on(host, PORT).users
        assert dovecot.uptime - begun <= moving.WORK + moving.PATIENCE
        assert dovecot.uptime - begun + 15.0 < VOID_AFTER, "the next report comes in time"
        runs += 1
        if runs == 5:
            dovecot.stuck.clear()
        assert runs < 50, "each run comes further"
    assert sorted(ended) == sorted(everybody)


def test_a_round_with_a_gap_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is away for the first users of a round only, and answers for the last."""
    host = machine(tmp_path)
    dovecot = Doveadm(host, monkeypatch)
    dovecot.sessions = {"user{:04}".format(number) for number in range(100)}
    dovecot.away, dovecot.elsewhere = {"user0000"}, {"user0000"}
    dovecot.each = 5.0
    moving.mark(host)
    dovecot.uptime += moving.SETTLED
    assert not moving.go_on(host, PORT).whole
    dovecot.away.clear()
    ended, marks = [], []
    for _ in range(40):
        ended += moving.go_on(host, PORT).users
        marks.append(host.read(moving.MARK) is not None)
    assert ended == ["user0000"]
    assert marks[1], "the first round, in three runs, had a gap"
    assert not marks[-1]
