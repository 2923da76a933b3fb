"""A server of a stack that Heat is about to delete: it leaves, says how that ended, and is not lost if it is killed."""

import os
import shutil
from pathlib import Path
from typing import Any, List

import pytest
from firstboot_fuse import Killed
from firstboot_heat import away
from firstboot_machine import INSTANCE, SITE, FakeClock, FakeHost, machine, seed, with_keys
from firstboot_pools import POOLED

from mailimg_firstboot import engine, leaving, orders, sources, wayout
from mailimg_firstboot.errors import FirstbootError, GaveUpError, SignalError, StepError
from mailimg_firstboot.postfix import Message
from mailimg_firstboot.preparing import Options
from mailimg_firstboot.report import LOCK, Report, read_status

DOCUMENT = with_keys(SITE, leave={"heat": True, "siblings": {"host": "mx.cloud.example.org", "port": 25}}, **POOLED)
LEFT = "left: smtp-in mx-1.cloud.example.org"


@pytest.fixture(autouse=True)
def _no_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.Service, "get", lambda _self, _name: b"{}")


def serving(path: Path, works: str = "handover", **paths: Any) -> FakeHost:
    """A node of a stack that serves, with mail that only a sibling takes."""
    host = machine(path)
    seed(host, with_keys(DOCUMENT, **paths))
    engine.apply(host, FakeClock(), Report(host, FakeClock()), Options())
    host.postfix.put(Message("A1", "deferred"), Message("A2", "hold"))
    host.postfix.works = works
    return host


def watch(host: FakeHost) -> List[str]:
    """One look of the timer; what it said."""
    said: List[str] = []
    wayout.watch(host, FakeClock(), Options(patience=1.0), said.append)
    return said


def told(host: FakeHost, order: str) -> Any:
    """What Heat knows of an order."""
    found = host.cloud.stack.deployments[order]
    return found["status"], found["status_reason"]


def state(host: FakeHost) -> Any:
    return (read_status(host) or {})["state"]


def test_an_order_is_carried_out_and_answered(tmp_path: Path) -> None:
    host = serving(tmp_path)
    assert watch(host) == []
    assert state(host) == "ready", "no order, nothing done"
    order = host.cloud.stack.order(INSTANCE)
    assert watch(host) == ["told Heat: " + LEFT]
    assert told(host, order) == ("COMPLETE", LEFT)
    assert state(host) == "left"
    assert host.postfix.queue("/etc/postfix") == []
    assert not host.cloud.dialect.held
    changes = len(host.fuse.changes)
    assert watch(host) == [], "an order that is answered is none"
    assert host.fuse.changes[changes:] == []


def test_the_order_of_a_node_that_has_left_is_answered(tmp_path: Path) -> None:
    """Drained by its metadata, say, before its group shrinks."""
    host = serving(tmp_path)
    leaving.leave(host, FakeClock(), Report(host, FakeClock(), leaving=True), Options())
    order = host.cloud.stack.order(INSTANCE)
    watch(host)
    assert told(host, order) == ("COMPLETE", LEFT)


def test_a_node_that_cannot_leave_says_why_and_what_to_do(tmp_path: Path) -> None:
    host = serving(tmp_path, "nowhere")
    order = host.cloud.stack.order(INSTANCE)
    with pytest.raises(StepError, match="2 messages left in the queue"):
        watch(host)
    status, words = told(host, order)
    assert status == "FAILED"
    assert words.startswith("leave: handover: 2 messages left in the queue: A1 A2 ")
    assert "See `journalctl -b`" in words
    assert "\n" not in words
    assert host.cloud.dialect.held, "it is still a member, drained"
    assert watch(host) == [], "not tried again before Heat asks again"
    host.cloud.stack.deployments[order]["status"] = "IN_PROGRESS"
    host.postfix.works = "handover"
    watch(host)
    assert told(host, order) == ("COMPLETE", LEFT)


def test_killed_anywhere_the_order_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    host = serving(tmp_path / "count")
    before = len(host.fuse.changes)
    host.cloud.stack.order(INSTANCE)
    watch(host)
    changes = len(host.fuse.changes) - before
    assert host.fuse.changes[-1] == "answer"
    for number in sorted({*range(0, changes, 4), changes - 1}):
        for moment in ("before", "after"):
            host = serving(tmp_path / "{}-{}".format(moment, number))
            order = host.cloud.stack.order(INSTANCE)
            host.fuse.blows = (len(host.fuse.changes) + number, moment)
            with pytest.raises(Killed):
                watch(host)
            host.fuse.dead, host.fuse.blows = False, None
            watch(host)
            assert told(host, order) == ("COMPLETE", LEFT), (moment, number)
            assert state(host) == "left"
            shutil.rmtree(str(host.root))


def test_an_interrupted_run_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = serving(tmp_path)
    order = host.cloud.stack.order(INSTANCE)

    def interrupted(*_args: Any) -> None:
        raise SignalError("interrupted by SIGTERM")

    with monkeypatch.context() as patched:
        patched.setattr(host.postfix, "flush", interrupted)
        with pytest.raises(SignalError):
            watch(host)
    assert told(host, order)[0] == "IN_PROGRESS"
    watch(host)
    assert told(host, order)[0] == "COMPLETE"


def test_while_another_run_is_at_work_nothing_happens(tmp_path: Path) -> None:
    host = serving(tmp_path)
    order = host.cloud.stack.order(INSTANCE)
    with host.lock(LOCK):
        assert watch(host) == ["another run of mailimg-firstboot is at work on this machine"]
    assert told(host, order)[0] == "IN_PROGRESS"
    watch(host)
    assert told(host, order)[0] == "COMPLETE"


def test_before_the_first_run_nobody_is_asked(tmp_path: Path) -> None:
    host = machine(tmp_path)
    seed(host, DOCUMENT)
    host.cloud.stack.order(INSTANCE)
    assert watch(host) == []
    assert host.cloud.stack.tokens == 0


def test_a_site_without_a_stack_asks_no_heat(tmp_path: Path) -> None:
    host = serving(tmp_path, leave__heat=False)
    host.cloud.stack.order(INSTANCE)
    assert watch(host) == []
    assert (state(host), host.cloud.stack.tokens) == ("ready", 0)


def test_other_deployments_are_not_ours_to_answer(tmp_path: Path) -> None:
    host = serving(tmp_path)
    other = [host.cloud.stack.order("another server"), host.cloud.stack.order(INSTANCE, action="CREATE"),
             host.cloud.stack.order(INSTANCE, input_values={}), host.cloud.stack.order(INSTANCE, status="COMPLETE")]
    before = [told(host, one) for one in other]
    assert watch(host) == []
    assert state(host) == "ready"
    assert [told(host, one) for one in other] == before


def test_heat_that_is_away_is_asked_again(tmp_path: Path) -> None:
    host = serving(tmp_path)
    order = host.cloud.stack.order(INSTANCE)
    host.cloud.stack.failures = [away()]
    assert watch(host) == ["ask Heat: Connection refused"]
    assert told(host, order)[0] == "IN_PROGRESS"
    assert state(host) == "ready"
    watch(host)
    assert told(host, order)[0] == "COMPLETE"


def test_an_answer_that_heat_does_not_hear_is_given_by_the_next_look(tmp_path: Path) -> None:
    host = serving(tmp_path)
    order = host.cloud.stack.order(INSTANCE)
    leave = wayout.leave

    def then_away(*args: Any) -> None:
        leave(*args)
        host.cloud.stack.failures = [away() for _ in range(40)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wayout, "leave", then_away)
        with pytest.raises(GaveUpError, match="Connection refused"):
            watch(host)
    assert (state(host), told(host, order)[0]) == ("left", "IN_PROGRESS")
    host.cloud.stack.failures = []
    watch(host)
    assert told(host, order) == ("COMPLETE", LEFT)


def test_an_order_that_was_given_up_meanwhile(tmp_path: Path) -> None:
    host = serving(tmp_path)
    order = host.cloud.stack.order(INSTANCE)
    leave = wayout.leave

    def then_gone(*args: Any) -> None:
        leave(*args)
        del host.cloud.stack.deployments[order]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wayout, "leave", then_gone)
        assert watch(host) == ["Heat waits no more: " + LEFT]


def test_a_refusal_is_an_error_of_the_unit(tmp_path: Path) -> None:
    host = serving(tmp_path)
    host.cloud.stack.failures = [StepError("ask Heat: 403 Forbidden", "The application credential needs ...")]
    with pytest.raises(StepError, match="403"):
        watch(host)
    assert state(host) == "ready", "the node goes on serving"


def test_the_metadata_is_obeyed_without_heat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = serving(tmp_path)
    monkeypatch.setattr(sources.Service, "get", lambda _self, _name: b'{"meta": {"mailimg:state": "drain"}}')
    host.cloud.stack.failures = [StepError("ask Heat: 403 Forbidden")]
    assert watch(host) == ["ask Heat: 403 Forbidden"]
    assert state(host) == "left"


def test_a_killed_leave_is_resumed_by_the_metadata_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = serving(tmp_path, leave__heat=False)
    monkeypatch.setattr(sources.Service, "get", lambda _self, _name: b'{"meta": {"mailimg:state": "drain"}}')
    host.fuse.blows = (len(host.fuse.changes) + 9, "after")
    with pytest.raises(Killed):
        watch(host)
    host.fuse.dead, host.fuse.blows = False, None
    assert state(host) == "leaving"
    watch(host)
    assert state(host) == "left"


def test_one_token_for_many_looks_and_for_nobody_else(tmp_path: Path) -> None:
    host = serving(tmp_path)
    for _ in range(3):
        watch(host)
    assert host.cloud.stack.tokens == 1
    assert host.path(orders.TOKEN).stat().st_mode & 0o777 == 0o600
    seed(host, with_keys(DOCUMENT, cloud__application_credential_id="b" * 32))
    watch(host)
    assert host.cloud.stack.tokens == 2, "another credential has another token"


def test_a_wrong_document_is_told_by_the_run_that_it_stopped(tmp_path: Path) -> None:
    host = serving(tmp_path)
    seed(host, with_keys(DOCUMENT, leave__haet=True))
    with pytest.raises(FirstbootError):
        engine.apply(host, FakeClock(), Report(host, FakeClock()), Options())
    assert watch(host) == ["site: leave.haet: unknown key; do you mean `heat`?"]
    assert state(host) == "failed"
