"""The dialects of Neutron LBaaS, against a stand-in: no server of them can be had. The token is a real Keystone's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud import Rig
from cloud.neutron import Neutron, serve
from cloud.project import SUBNET
from cloud_instance import Instance, document

from mailimg_firstboot.cloud import DIALECTS
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.steps import balancer

pytestmark = pytest.mark.lab

SERVERS = {"v2": ("lbaasv2", True), "v2 without names": ("lbaasv2", False), "v1": ("lbaasv1", False)}


@pytest.fixture(params=SERVERS)
def neutron(request: pytest.FixtureRequest) -> Iterator[Neutron]:
    api, named = SERVERS[request.param]
    with serve(Neutron(api.removeprefix("lbaas"), named)) as server:
        yield server


@pytest.fixture
def boot(rig: Rig, neutron: Neutron, tmp_path: Path) -> Callable[..., Instance]:
    """Makes instances of that dialect."""
    api = f"lbaas{neutron.version}"
    credential = rig.project().credential(DIALECTS[api].rules)
    subnet = {"subnet": SUBNET} if neutron.version == "v2" else {}

    def make(pools: dict[str, Any], **more: Any) -> Instance:
        full = document(rig, credential, pools, api=api, **subnet, **more)
        full["cloud"]["endpoints"] = {"network": neutron.url}
        return Instance(tmp_path, full)

    return make


def shown(neutron: Neutron, pool: str) -> list[tuple[Any, ...]]:
    return sorted((one["address"], one["protocol_port"], one["weight"], one["admin_state_up"])
                  for one in neutron.members.values() if one["pool_id"] == pool)


def test_join_drain_and_leave(neutron: Neutron, boot: Callable[..., Instance]) -> None:
    smtp, imap = neutron.pool("smtp-pool"), neutron.pool("imap-pool")
    one = boot({"smtp": smtp, "imap": {"pool": "imap-pool", "weight": 4}})
    other = boot({"smtp": smtp}, address="192.0.2.11")
    assert balancer.check(one.host, one.work)
    one.join()
    other.join()
    assert shown(neutron, imap) == [("192.0.2.10", 143, 4, True)]
    assert shown(neutron, smtp) == [("192.0.2.10", 25, 1, True), ("192.0.2.11", 25, 1, True)]
    if "name" in neutron.settable:
        assert {member["name"] for member in neutron.members.values()} == {one.name, other.name}
    if neutron.version == "v2":
        assert {member["subnet_id"] for member in neutron.members.values()} == {SUBNET}
    assert 409 in [status for _, _, status in neutron.calls], "what is under change was waited for"
    before = len([call for call in neutron.calls if call[0] != "GET"])
    one.join()
    assert len([call for call in neutron.calls if call[0] != "GET"]) == before, "a second time changes nothing"

    one.drain()
    assert balancer.drained(one.host, one.work) is None
    drained = (0, True) if neutron.version == "v2" else (4, False)
    assert shown(neutron, imap) == [("192.0.2.10", 143, *drained)]
    one.leave()
    assert balancer.left(one.host, one.work) is None
    assert shown(neutron, smtp) == [("192.0.2.11", 25, 1, True)]
    assert shown(neutron, imap) == []
    one.leave()


def test_a_duplicate_is_adopted(neutron: Neutron, boot: Callable[..., Instance]) -> None:
    smtp = neutron.pool("smtp-pool")
    boot({"smtp": {"pool": smtp, "weight": 9}}).join()
    member = next(iter(neutron.members))
    again = boot({"smtp": smtp})
    again.join()
    assert list(neutron.members) == [member]
    assert shown(neutron, smtp) == [("192.0.2.10", 25, 1, True)]
    if "name" in neutron.settable:
        assert neutron.members[member]["name"] == again.name


def test_pools_that_are_missing_or_ambiguous(neutron: Neutron, boot: Callable[..., Instance]) -> None:
    nowhere = "00000000-0000-4000-8000-00000000dead"
    with pytest.raises(StepError, match=rf"look at pool {nowhere} \(smtp\): 404 .* could not be found"):
        boot({"smtp": nowhere}).join()
    with pytest.raises(StepError, match=r"look at pool mx \(smtp\): no pool has this name"):
        boot({"smtp": "mx"}).join()
    neutron.pool("twice")
    neutron.pool("twice")
    with pytest.raises(StepError, match=r"look at pool twice \(smtp\): 2 pools have this name"):
        boot({"smtp": "twice"}).join()
    boot({"smtp": nowhere, "imap": "mx"}).leave()
