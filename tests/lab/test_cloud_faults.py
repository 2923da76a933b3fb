"""Faults of a cloud between an instance and its pools: each passes by itself, or ends in words that say what to do."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud import Rig
from cloud.project import Credential, LoadBalancer, Project
from cloud_instance import Instance, document

from mailimg.peers.authority import Authority
from mailimg_firstboot.cloud.octavia import Octavia
from mailimg_firstboot.errors import FirstbootError, StepError

pytestmark = pytest.mark.lab

NOWHERE = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture(scope="module")
def project(rig: Rig) -> Project:
    return rig.project()


@pytest.fixture(scope="module")
def pools(project: Project) -> LoadBalancer:
    return project.load_balancer("faults", {"smtp": 25})


@pytest.fixture(scope="module")
def credential(project: Project) -> Credential:
    return project.credential(Octavia.rules)


@pytest.fixture
def boot(rig: Rig, project: Project, pools: LoadBalancer, credential: Credential, tmp_path: Path,
         ) -> Callable[..., Instance]:
    """Makes instances; `cloud` are other keys of that name, the rest are keys of `balancer`."""

    def make(chosen: Credential | None = None, cloud: dict[str, Any] | None = None, **more: Any) -> Instance:
        full = document(rig, chosen or credential, more.pop("pools", {"smtp": pools.pools["smtp"]}), **more)
        full["cloud"].update(cloud or {})
        return Instance(tmp_path, full)

    return make


def failure(one: Instance) -> FirstbootError:
    with pytest.raises(StepError) as caught:
        one.join()
    return caught.value


def test_a_pool_that_is_missing(pools: LoadBalancer, boot: Callable[..., Instance]) -> None:
    error = failure(boot(pools={"smtp": NOWHERE}))
    assert error.message == f"look at pool {NOWHERE} (smtp): 404 Pool {NOWHERE} not found."
    assert "openstack loadbalancer pool list" in error.hint
    assert "balancer.pools.smtp" in error.hint
    assert failure(boot(pools={"smtp": "mx"})).message == "look at pool mx (smtp): no pool has this name"


def test_a_name_of_several_pools(project: Project, pools: LoadBalancer, boot: Callable[..., Instance]) -> None:
    both = sorted([project.lonely_pool(pools, "twice"), project.lonely_pool(pools, "twice")])
    error = failure(boot(pools={"smtp": "twice"}))
    assert error.message == f"look at pool twice (smtp): 2 pools have this name: {both[0]}, {both[1]}"
    assert error.hint == "Give the pool's id as balancer.pools.smtp."


@pytest.mark.parametrize(("method", "path", "doing"), [
    ("GET", "/v2.0/lbaas/pools/*/members", "look at pool "),
    ("POST", "/v2.0/lbaas/pools/*/members", "add 192.0.2.20:25 to pool "),
])
def test_a_call_that_no_access_rule_allows(project: Project, pools: LoadBalancer, boot: Callable[..., Instance],
                                           method: str, path: str, doing: str) -> None:
    rules = [rule for rule in Octavia.rules if (rule["method"], rule["path"]) != (method, path)]
    error = failure(boot(project.credential(rules), address="192.0.2.20"))
    assert error.message.startswith(f"{doing}{pools.pools['smtp']} (smtp): 401")
    assert f"access rule {{service: load-balancer, method: {method}, path: {path}}}" in error.hint


def test_a_wrong_secret(boot: Callable[..., Instance], credential: Credential) -> None:
    error = failure(boot(Credential(credential.id, "canary-wrong")))
    assert error.message.endswith(f": 401 the application credential {credential.id} is not accepted")
    assert error.hint == "Its secret is wrong, it has expired, or it (or its user) was deleted."
    assert "canary" not in error.message + error.hint


def test_a_credential_that_is_withdrawn_while_the_agent_runs(project: Project, boot: Callable[..., Instance]) -> None:
    chosen = project.credential(Octavia.rules)
    one = boot(chosen)
    assert one.check()
    project.withdraw(chosen)
    with project.rig.down("octavia"):
        pass  # which forgets the token that it had let in
    assert f"the application credential {chosen.id} is not accepted" in failure(one).message


def test_a_token_that_ends_midway_is_replaced(project: Project, boot: Callable[..., Instance]) -> None:
    one = boot(project.credential(), address="192.0.2.21")
    assert one.check()
    first = one.token()
    project.revoke(first)
    with project.rig.down("octavia"):
        pass
    refused = project.rig.services.log("octavia").count(" 401 ")
    one.join()
    assert one.token() != first
    assert project.rig.services.log("octavia").count(" 401 ") == refused + 1
    assert one.check() is None


@pytest.mark.parametrize("service", ["keystone", "octavia"])
def test_a_service_that_is_away_for_a_while(rig: Rig, boot: Callable[..., Instance], service: str) -> None:
    one = boot(address={"keystone": "192.0.2.22", "octavia": "192.0.2.23"}[service])
    rig.services.stop(service)
    back = threading.Timer(2.0, rig.services.start, [service])
    back.start()
    try:
        one.join()
    finally:
        back.join()
    assert one.check() is None
    assert any("Connection refused" in words for words in one.waits())


def test_the_deadline_is_kept_and_told(rig: Rig, boot: Callable[..., Instance]) -> None:
    one = boot(deadline=1)
    with rig.down("octavia"):
        begun = time.monotonic()
        error = failure(one)
        # Not the seconds that the service needs to start again.
        assert time.monotonic() - begun < 10
    assert "Connection refused (tried " in error.message
    assert "deadline in 1 s" in one.waits()[0]


def test_a_certificate_of_another_authority(boot: Callable[..., Instance], tmp_path: Path) -> None:
    error = failure(boot(cloud={"ca": Authority(tmp_path).pem}))
    assert error.message.endswith("the API's certificate does not chain to cloud.ca, or is of another name")


def test_a_region_that_is_not_there(boot: Callable[..., Instance]) -> None:
    error = failure(boot(cloud={"region": "mars"}))
    assert error.message.endswith("the catalogue has no public endpoint for load-balancer")
    assert "cloud.region" in error.hint


def test_an_endpoint_in_place_of_the_catalogues(rig: Rig, boot: Callable[..., Instance]) -> None:
    place = f"https://localhost:{rig.services.ports['octavia']}/v2.0/"
    one = boot(cloud={"endpoints": {"load-balancer": place}}, address="192.0.2.24")
    one.join()
    assert one.check() is None


def test_no_secret_is_told(project: Project, pools: LoadBalancer, boot: Callable[..., Instance],
                           caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither with every logger at its loudest, nor in a traceback, nor in a repr."""
    chosen = project.credential(Octavia.rules[1:3])
    caplog.set_level(logging.DEBUG)
    one = boot(chosen, address="192.0.2.25")
    told = []
    for act in (one.join, one.leave, boot(Credential(chosen.id, "x" + chosen.secret)).join,
                boot(chosen, pools={"smtp": NOWHERE}).join):
        try:
            act()
        except FirstbootError as error:
            told.append("".join(traceback.format_exception(error)) + error.hint)
    assert len(told) == 3, "leaving, too: it may not change members"
    session = one.host.cloud.session(one.work.site, one.work.role)
    told += [repr(vars(session)), repr(one.work), caplog.text, capsys.readouterr().out]
    told += [path.read_text() for path in one.host.path("/run/mailimg").iterdir()]
    assert caplog.text, "something was logged"
    for canary in (chosen.secret, one.token()):
        assert len(canary) > 30
        assert not [text for text in told if canary in text]
