"""The cloud's keys of the site document, references to Barbican, and how waits begin anew; nothing of it calls out."""

from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_machine import SITE, FakeClock, FakeHost, machine, role, with_keys, work
from firstboot_pools import POOLED

from mailimg_firstboot import cautions, engine, secret, site, stepping
from mailimg_firstboot.cloud import balancer, barbican, session
from mailimg_firstboot.cloud.balancer import Goal, Member
from mailimg_firstboot.errors import DocumentError, StepError, TransientError
from mailimg_firstboot.report import Report, read_events
from mailimg_firstboot.secret import MASK, Secret
from mailimg_firstboot.steps import balancer as step
from mailimg_firstboot.waiting import Clock, keep_trying

UUID = "7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001"
FULL = with_keys(SITE, **POOLED)


def told(document: Dict[str, Any]) -> List[str]:
    with pytest.raises(DocumentError) as caught:
        site.load(document, role())
    return list(caught.value.problems)


def test_defaults() -> None:
    full = site.load(FULL, role())
    assert full["balancer"] == {"api": "octavia", "pools": {"smtp": "mx-smtp"}, "weight": 1, "deadline": 300}
    assert {key: full["cloud"][key] for key in ("interface", "ca", "endpoints")} == {
        "interface": "public", "ca": "system", "endpoints": {}}


@pytest.mark.parametrize(("paths", "words"), [
    ({"balancer__pools": {"smpt": "x"}}, "site: balancer.pools.smpt: no port of the role; do you mean `smtp`?"),
    ({"balancer__pools": {"smtp": {"weight": 1}}}, "site: balancer.pools.smtp.pool: missing"),
    ({"balancer__pools": {"smtp": {"pool": "x", "wait": 1}}},
     "site: balancer.pools.smtp.wait: unknown key; do you mean `weight`?"),
    ({"balancer__pools": {"smtp": 7}},
     "site: balancer.pools.smtp: is a number; it must be the id or the name of a pool, or a mapping with `pool`"),
    ({"balancer__weight": 257}, "site: balancer.weight: 257 is more than 256"),
    ({"balancer__api": "lbaasv2"}, "site: balancer.subnet: missing; lbaasv2 needs it"),
    ({"balancer__api": "lbaasv1", "balancer__subnet": UUID},
     "site: balancer.subnet: lbaasv1 has no subnets of members; leave it out"),
    ({"balancer__api": "lbaasv1", "balancer__pools": {"smtp": {"pool": "x", "monitor_port": 80}}},
     "site: balancer.pools.smtp.monitor_port: lbaasv1 has no monitor ports; leave it out"),
    ({"balancer__address": "300.0.0.1"}, "site: balancer.address: 300.0.0.1 is not an IP address"),
    ({"cloud__auth_url": "keystone:5000"},
     'site: cloud.auth_url: "keystone:5000" is not an https:// or http:// URL without user, query or fragment'),
    ({"cloud__application_credential_secret": "barbican:" + UUID},
     "site: cloud.application_credential_secret: the value (not shown) is not a secret reference: file:/path or "
     "literal:text, without control characters or blanks at its ends"),
])
def test_words(paths: Dict[str, Any], words: str) -> None:
    assert told(with_keys(FULL, **paths)) == [words]


def test_without_the_key_cloud() -> None:
    document = with_keys(FULL, directory__bind_password="barbican:" + UUID)
    del document["cloud"]
    assert told(document) == ["site: directory.bind_password: a secret in Barbican needs the key `cloud`",
                              "site: cloud: missing; `balancer` needs it"]


def test_heat_is_asked_with_the_key_cloud_only() -> None:
    assert told(with_keys(SITE, leave__heat=True)) == ["site: cloud: missing; `leave.heat` needs it"]
    assert site.load(with_keys(FULL, leave__heat=True), role())["leave"]["heat"] is True


def test_a_document_of_a_wrong_form_is_told_once() -> None:
    assert told(with_keys(FULL, balancer=[])) == ["site: balancer: is a list; it must be a mapping"]
    assert told(with_keys(FULL, balancer__pools="smtp")) == ["site: balancer.pools: is text; it must be a mapping"]


@pytest.mark.parametrize("reference", [UUID, "https://key.example.org:9311/v1/secrets/" + UUID])
def test_secrets_in_barbican_are_read_last(reference: str) -> None:
    document = site.load(with_keys(FULL, directory__bind_password="barbican:" + reference), role())

    def read(resolved: Dict[str, Any], asked: str) -> bytes:
        assert resolved["cloud"]["application_credential_secret"] == Secret("canary")
        assert asked == reference
        assert barbican.identifier(asked) == UUID
        return b"line\n"

    found = secret.resolve(document, lambda _: b"", read)
    assert found.site["directory"]["bind_password"] == Secret("line")
    assert len(found.warnings) == 1, "of the literal one only"
    assert secret.mask(document)["directory"]["bind_password"].reveal() == MASK


def test_barbican_is_not_asked_with_what_cannot_be_read() -> None:
    document = site.load(with_keys(FULL, directory__bind_password="barbican:" + UUID,
                                   cloud__application_credential_secret="file:/absent"), role())

    def absent(_path: str) -> bytes:
        raise FileNotFoundError(2, "no such file")

    with pytest.raises(DocumentError) as caught:
        secret.resolve(document, absent, lambda *_: pytest.fail("asked"))
    assert caught.value.problems == (
        "site: cloud.application_credential_secret: cannot read /absent: no such file",)
    with pytest.raises(DocumentError, match="a secret in Barbican can only be read on an instance"):
        secret.resolve(document, lambda _: b"x")


@pytest.mark.parametrize("reference", ["", "x", UUID + "/payload", UUID[:-1]])
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(ValueError, match="is no UUID"):
        barbican.identifier(reference)


@pytest.mark.parametrize("url", ["https://a:5000", "https://a:5000/", "https://a:5000/v3", "https://a:5000/v2.0/"])
def test_keystones_version(url: str) -> None:
    assert session.versioned(url) == "https://a:5000/v3"


def test_waits_begin_anew_after_progress() -> None:
    clock = FakeClock()
    errors = [TransientError("a"), TransientError("a"), TransientError("b", progress=True), TransientError("b")]

    def attempt() -> None:
        if errors:
            raise errors.pop(0)

    keep_trying(attempt, clock, 60.0, lambda _: None)
    assert clock.naps == [0.5, 1.0, 0.5, 1.0]


def test_the_sites_deadline_counts(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    goal = work(host, with_keys(FULL, balancer__deadline=7))

    def away(*_words: str) -> List[Member]:
        raise TransientError("look at pool: Connection refused")

    host.cloud.dialect.members = away  # type: ignore[method-assign]
    one = next(one for one in engine.STEPS if one.name == "balancer")
    with pytest.raises(StepError, match=r"Connection refused \(tried 5 times in 7 s\)"):
        stepping.run_step(one, host, clock, Report(host, clock), goal)
    assert next(line["message"] for line in read_events(host) if line["event"] == "wait") == (
        "balancer: look at pool: Connection refused; again in 0.5 s, deadline in 7 s")


def test_a_site_without_a_balancer_has_nothing_to_join(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = work(host)
    assert step.check(host, goal) is None
    assert (step.drained(host, goal), step.left(host, goal)) == (None, None)
    for act in (step.apply, step.drain, step.undo):
        act(host, goal)
    assert host.fuse.changes == []


def test_goals_of_a_role() -> None:
    full = site.load(with_keys(FULL, balancer__pools={"smtp": {"pool": "mx", "weight": 0, "monitor_port": 26}},
                               balancer__subnet=UUID), role())
    assert balancer.goals(full, role().ports, "i-1", "10.0.0.7") == [
        Goal("smtp", "mx", "mailimg-i-1", "10.0.0.7", 25, 0, UUID, 26)]
    assert balancer.goals(full, [{"name": "imap", "port": 143}], "i-1", "10.0.0.7") == []


def test_two_ports_in_one_pool(tmp_path: Path) -> None:
    host = machine(tmp_path)
    both = [Goal(name, UUID, "mailimg-i-1", "10.0.0.7", port, 1, None, None) for name, port in (("a", 80), ("b", 443))]
    peer = balancer.Balancer(host.cloud.dialect, both)
    peer.register()
    assert peer.differences() == []
    assert sorted(one.port for one in host.cloud.dialect.held.values()) == [80, 443]
    moved = balancer.Balancer(host.cloud.dialect, both[:1])
    assert moved.differences() == [
        "pool {} (a): a member of this instance has another address or port: 10.0.0.7:443".format(UUID)]
    moved.register()
    peer.remove()
    assert peer.left() == []
    assert host.cloud.dialect.held == {}


def test_a_credential_that_travels_unprotected_is_told() -> None:
    assert cautions.of(role(), site.load(FULL, role())) == []
    open_to_all = with_keys(FULL, cloud__auth_url="http://keystone.example.org:5000")
    assert [words.partition(":")[0] for words in cautions.of(role(), site.load(open_to_all, role()))] == [
        "cloud.auth_url"]


def busy(host: FakeHost, times: int) -> List[str]:
    """Let the load balancer refuse so many changes; returns a list that is told of every call."""
    calls: List[str] = []
    look, add = host.cloud.dialect.members, host.cloud.dialect.add

    def members(pool: str, what: str) -> List[Member]:
        calls.append("look")
        return look(pool, what)

    def refused(pool: str, goal: Goal, what: str) -> None:
        calls.append("add")
        if calls.count("add") <= times:
            raise session.ConflictError(what + ": 409 immutable")
        add(pool, goal, what)

    host.cloud.dialect.members, host.cloud.dialect.add = members, refused  # type: ignore[method-assign]
    return calls


BALANCER = next(one for one in engine.STEPS if one.name == "balancer")


def test_a_try_that_was_refused_is_begun_again_without_asking_first(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    calls = busy(host, 2)
    stepping.run_step(BALANCER, host, clock, Report(host, clock), work(host, FULL))
    assert calls == ["look", "look", "add", "look", "add", "look", "add", "look"]
    assert clock.naps == [0.5, 1.0]


def test_waits_for_a_busy_load_balancer_grow(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    busy(host, 1000)
    with pytest.raises(StepError, match="409 immutable") as caught:
        stepping.run_step(BALANCER, host, clock, Report(host, clock), work(host, FULL))
    assert caught.value.hint == balancer.BUSY
    assert clock.naps[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_waits_are_scattered() -> None:
    clock = Clock()
    found = [clock.spread(10.0) for _ in range(200)]
    assert 5.0 <= min(found) < 6.0 < 9.0 < max(found) <= 10.0


def test_a_step_waits_as_its_clock_scatters(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    clock.spread = lambda seconds: seconds / 2  # type: ignore[method-assign]
    busy(host, 3)
    stepping.run_step(BALANCER, host, clock, Report(host, clock), work(host, FULL))
    assert clock.naps == [0.25, 0.5, 1.0]
