"""Leaving: the law of its steps, their order, what they say, and runs that are cut off anywhere."""

import os
import shutil
from pathlib import Path
from typing import Any, Dict

import pytest
from firstboot_fuse import Killed
from firstboot_machine import PASSWORD, SITE, FakeClock, FakeHost, machine, picture, seed, with_keys, work
from firstboot_pools import POOLED
from firstboot_store import INDEXES, PLACE, STORED_KEYS

from mailimg_firstboot import certificates, engine, leaving, mta, postfix, sockets, wayout
from mailimg_firstboot.errors import LeavingError, StepError
from mailimg_firstboot.parting import flush, handover, intake, secrets, sessions
from mailimg_firstboot.postfix import Message
from mailimg_firstboot.preparing import Options
from mailimg_firstboot.report import Report, read_status
from mailimg_firstboot.stepping import Step
from mailimg_firstboot.steps import storage

SIBLINGS = {"host": "mx.cloud.example.org", "port": 25}
DOCUMENT = with_keys(SITE, leave={"siblings": SIBLINGS}, **POOLED)
MAIL = (Message("A1", "deferred"), Message("A2", "hold"))
STEPS = leaving.steps(10.0, 10.0, 10.0)

HEADER = "  sl  local_address rem_address   st\n"
SESSION = HEADER + "   0: 0100000A:0019 0200000A:D431 01\n"


def serving(path: Path, document: Dict[str, Any] = DOCUMENT) -> FakeHost:
    """A node that serves, with mail that only a sibling takes."""
    host = machine(path)
    seed(host, document)
    engine.apply(host, FakeClock(), Report(host, FakeClock()), Options())
    host.postfix.put(*MAIL)
    host.postfix.works = "handover"
    return host


def leave(host: FakeHost, **more: Any) -> None:
    leaving.leave(host, FakeClock(), Report(host, FakeClock(), leaving=True), Options(), **more)


def is_left(host: FakeHost) -> bool:
    """Whether nothing of the node is left anywhere, its mail included."""
    return (host.postfix.queue("/etc/postfix") == [] and "postfix@-.service" not in host.systemd.running
            and not host.cloud.dialect.held and host.read("/etc/postfix/recipients.cf") is None)


def test_a_node_leaves(tmp_path: Path) -> None:
    host = serving(tmp_path)
    leave(host)
    assert is_left(host)
    status = read_status(host) or {}
    assert status["state"] == "left"
    assert [one["name"] for one in status["steps"]] == [step.name for step in STEPS]
    assert host.said[-1] == "mailimg: left smtp-in mx-1.cloud.example.org"
    changes = len(host.fuse.changes)
    leave(host)
    assert {one.split()[1].split("/")[2] for one in host.fuse.changes[changes:]} <= {"mailimg"}
    assert {one["state"] for one in (read_status(host) or {})["steps"]} == {"clean"}
    engine.apply(host, FakeClock(), Report(host, FakeClock()), Options())
    assert "postfix@-.service" in host.systemd.running


def test_a_node_that_nobody_takes_mail_of_stays(tmp_path: Path) -> None:
    host = serving(tmp_path)
    host.postfix.works = "nowhere"
    with pytest.raises(StepError, match="2 messages left in the queue: A1 A2"):
        leave(host)
    assert "postfix@-.service" in host.systemd.running
    assert host.cloud.dialect.held, "it is still a member"
    assert host.said[-1].startswith("mailimg: FAILED leave: handover: 2 messages left in the queue: A")
    leave(host, force=True)
    assert len(host.postfix.queue("/etc/postfix")) == 2, "what nobody took is still on the disk"
    assert not host.cloud.dialect.held


def test_without_siblings_it_says_what_to_do(tmp_path: Path) -> None:
    host = serving(tmp_path, with_keys(SITE, **POOLED))
    with pytest.raises(StepError, match=r"names nobody who could take it \(leave.siblings\)"):
        leave(host)


def test_killed_anywhere_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    host = serving(tmp_path / "count")
    before = len(host.fuse.changes)
    leave(host)
    changes = len(host.fuse.changes) - before
    assert changes > 20
    for moment in ("before", "after"):
        for number in range(changes):
            host = serving(tmp_path / "{}-{}".format(moment, number))
            host.fuse.blows = (len(host.fuse.changes) + number, moment)
            with pytest.raises(Killed):
                leave(host)
            host.fuse.dead, host.fuse.blows = False, None
            leave(host)
            assert is_left(host), (moment, number)
            shutil.rmtree(str(host.root))


def test_the_mailboxes_storage_is_let_go(tmp_path: Path) -> None:
    host = machine(tmp_path, True)
    goal = work(host, with_keys(SITE, **STORED_KEYS))
    storage.apply(host, goal)
    step = next(one for one in STEPS if one.name == "storage")
    assert step.check(host, goal) == PLACE + " is mounted, or would be again"
    step.apply(host, goal)
    assert step.check(host, goal) is None
    assert host.nfs.mounted(PLACE) is None
    before = picture(host)
    step.apply(host, goal)
    assert picture(host) == before


def test_indexes_of_mailboxes_go(tmp_path: Path) -> None:
    host = machine(tmp_path, True)
    goal = work(host, with_keys(SITE, **STORED_KEYS))
    secrets.apply(host, goal)
    assert secrets.check(host, goal) is None
    index = host.path(INDEXES + "/0a1/anna/.INBOX/dovecot.index.cache")
    index.parent.mkdir(parents=True)
    index.write_bytes(b"Subject: what nobody else may read")
    host.path(INDEXES + "/link").symlink_to(host.path(PLACE))
    host.path(PLACE + "/mail").write_bytes(b"stays")
    assert secrets.check(host, goal) == INDEXES + " has indexes of mailboxes"
    secrets.apply(host, goal)
    assert (secrets.check(host, goal), host.entries(INDEXES)) == (None, [])
    assert (host.path(INDEXES).is_dir(), host.read(PLACE + "/mail")) == (True, b"stays")


def test_storage_that_cannot_be_let_go_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = machine(tmp_path, True)
    seed(host, with_keys(SITE, **STORED_KEYS))
    engine.apply(host, FakeClock(), Report(host, FakeClock()), Options())
    stop = host.systemd.stop
    monkeypatch.setattr(host.systemd, "stop", lambda unit: None if unit.endswith(".mount") else stop(unit))
    leave(host)
    status = read_status(host) or {}
    states = {one["name"]: one["state"] for one in status["steps"]}
    assert (status["state"], states["storage"], states["secrets"]) == ("left", "warning", "done")
    assert any("something uses it" in one["message"] for one in status["steps"])


# What makes a machine differ from the goal of a step, where a serving one with mail in its queue does not.
WATCHED = ("sessions",)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_law(step: Step, tmp_path: Path) -> None:
    host = serving(tmp_path)
    goal = work(host, DOCUMENT)
    table = host.path(sessions.TABLES[0])
    for one in STEPS[:STEPS.index(step)]:
        if one.name != "handover":
            one.apply(host, goal)
    if step.name == "flush":
        host.postfix.works = "flush"
        host.path("/var/spool/postfix/hold/A2").unlink()
    if step.name == "certificate":
        host.write(certificates.KEPT, b"the layer's certificate and key", mode=0o600)
    if step.name in WATCHED:
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(SESSION)
    before = picture(host)
    if step.name in ("account", "assignment", "storage"):
        assert step.check(host, goal) is None, "a site without a domain has none, nor a role without a mount"
        return
    assert step.check(host, goal), "a serving node differs"
    assert picture(host) == before, "check changes nothing"
    if step.name in WATCHED:
        table.write_text(HEADER)
    for _ in range(2):
        # Held mail is released by one attempt and sent by the same or the next.
        step.apply(host, goal)
    assert step.check(host, goal) is None
    after = picture(host)
    if step.name == "services":
        # An order to stop what is stopped changes nothing.
        after["orders"] += len(goal.role.services)
    step.apply(host, goal)
    assert picture(host) == after, "another apply changes nothing"


@pytest.mark.parametrize("module", [intake, handover])
def test_what_is_changed_in_postfix_can_be_taken_back(module: Any, tmp_path: Path) -> None:
    host = serving(tmp_path)
    goal = work(host, DOCUMENT)
    main = host.read("/etc/postfix/main.cf")
    intake.apply(host, goal)
    module.apply(host, goal)
    assert host.read("/etc/postfix/main.cf") != main
    module.undo(host, goal)
    assert host.read("/etc/postfix/main.cf") == main
    assert host.systemd.orders[-1] == "reload-or-restart postfix@-.service"
    assert [path for path in mta.FILES if host.read(path) is not None] == []


def test_a_login_at_siblings(tmp_path: Path) -> None:
    host = machine(tmp_path)
    siblings = dict(SIBLINGS, port=587, login="svc-relay", password="literal:" + PASSWORD, ca="system")
    goal = work(host, with_keys(SITE, leave={"siblings": siblings}))
    made = handover.files(goal, goal.site["leave"]["siblings"])
    assert made == {
        mta.TRANSPORT: b"* smtp:[mx.cloud.example.org]:587\n",
        mta.LOGIN: "[mx.cloud.example.org]:587 svc-relay:{}\n".format(PASSWORD).encode(),
        mta.POLICY: b"[mx.cloud.example.org]:587 secure match=nexthop\n"}
    settings = handover.settings(goal.site["leave"]["siblings"], "/etc/ssl/bundle.pem")
    assert settings["smtp_tls_CAfile"] == "/etc/ssl/bundle.pem"
    assert PASSWORD not in str(settings)
    host.write(mta.LOGIN, made[mta.LOGIN], mode=0o600)
    assert mta.LOGIN in (secrets.check(host, goal) or "")


def test_a_stopped_mail_system_is_started_to_empty_its_queue(tmp_path: Path) -> None:
    host = serving(tmp_path)
    host.systemd.stop("postfix@-.service")
    goal = work(host, DOCUMENT)
    assert intake.check(host, goal) == "Postfix takes mail (smtp.inet, 587.inet)"
    intake.apply(host, goal)
    assert "postfix@-.service" not in host.systemd.running
    flush.apply(host, goal)
    assert "postfix@-.service" in host.systemd.running


def test_metadata_that_says_drain_is_a_goal(tmp_path: Path) -> None:
    host = machine(tmp_path)
    seed(host, DOCUMENT, {"mailimg:state": "drain"})
    with pytest.raises(LeavingError):
        engine.apply(host, FakeClock(), Report(host, FakeClock()), Options())
    assert host.systemd.orders == []
    engine.apply(host, FakeClock(), Report(host, FakeClock()), Options(anyway=True))
    assert "postfix@-.service" in host.systemd.running


@pytest.mark.parametrize(("jobs", "off"), [
    (["poweroff.target", "shutdown.target"], True),
    (["halt.target"], True),
    (["reboot.target", "shutdown.target"], False),
    (["kexec.target"], False),
    ([], False),
    (["poweroff.target", "reboot.target"], False),
])
def test_a_reboot_is_no_shutdown(jobs: Any, off: bool) -> None:
    assert wayout.is_shutdown(jobs) is off


def test_sessions_of_the_kernels_table() -> None:
    rows = ["0100000A:0019 0200000A:D431 01", "0100007F:0019 0100007F:D431 01", "0100000A:0019 0200000A:D432 06",
            "0100000A:008F 0200000A:D433 01"]
    rows6 = ["0000000000000000FFFF00000100000A:0019 0000000000000000FFFF00000200000A:1000 01",
             "0000000000000000FFFF00000100007F:0019 0000000000000000FFFF00000100007F:1000 01",
             "00000000000000000000000001000000:0019 00000000000000000000000001000000:1000 01"]
    tables = [HEADER + "".join("   0: {}\n".format(row) for row in one) for one in (rows, rows6)]
    assert sockets.sessions(tables, [25]) == {25: 2}
    assert sockets.sessions(tables, [25, 143]) == {25: 2, 143: 1}
    assert sockets.sessions([""], [25]) == {}


def test_many_queue_ids_are_cut() -> None:
    assert postfix.words([Message("A", "hold")]) == "1 message left in the queue: A"
    assert postfix.words([Message(str(one), "hold") for one in range(25)]).endswith(" 19 and 5 more")
