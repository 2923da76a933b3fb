"""Joining pools of a real Octavia, with the access rules that an application credential needs and no more."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud import Rig
from cloud.project import SUBNET, LoadBalancer, Project
from cloud_instance import Instance, document

from mailimg_firstboot.cloud.octavia import Octavia
from mailimg_firstboot.errors import TransientError
from mailimg_firstboot.steps import balancer
from mailimg_firstboot.waiting import keep_trying

pytestmark = pytest.mark.lab

MINUTE = 60.0


@pytest.fixture(scope="module")
def project(rig: Rig) -> Project:
    return rig.project()


@pytest.fixture
def pools(project: Project, request: pytest.FixtureRequest) -> LoadBalancer:
    """A load balancer of the test's own."""
    return project.load_balancer(request.node.name, {"smtp": 25, "imap": 143})


@pytest.fixture
def boot(rig: Rig, project: Project, pools: LoadBalancer, tmp_path: Path) -> Callable[..., Instance]:
    """Makes instances that know both pools and may do what joining needs."""
    credential = project.credential(Octavia.rules)

    def make(wanted: dict[str, Any] | None = None, **more: Any) -> Instance:
        return Instance(tmp_path, document(rig, credential, wanted or pools.pools, **more))

    return make


def shown(project: Project, pool: str) -> list[tuple[Any, ...]]:
    """Members as (name, address, port, weight)."""
    return sorted((one["name"], one["address"], one["protocol_port"], one["weight"]) for one in project.members(pool))


def test_an_instance_joins_every_pool(project: Project, pools: LoadBalancer, boot: Callable[..., Instance]) -> None:
    one = boot({"smtp": pools.pools["smtp"], "imap": {"pool": pools.pools["imap"], "weight": 7, "monitor_port": 10143}},
               subnet=SUBNET)
    assert one.check() == (f"pool {pools.pools['smtp']} (smtp): no member 192.0.2.10:25; "
                           f"pool {pools.pools['imap']} (imap): no member 192.0.2.10:143")
    one.join()
    assert shown(project, pools.pools["smtp"]) == [(one.name, "192.0.2.10", 25, 1)]
    assert shown(project, pools.pools["imap"]) == [(one.name, "192.0.2.10", 143, 7)]
    found = project.members(pools.pools["imap"])[0]
    assert (found["monitor_port"], found["subnet_id"], found["provisioning_status"]) == (10143, SUBNET, "ACTIVE")


def test_the_law_of_steps(project: Project, pools: LoadBalancer, boot: Callable[..., Instance]) -> None:
    one = boot()
    step = balancer

    def settled(act: Callable[[Any, Any], None]) -> None:
        keep_trying(lambda: act(one.host, one.work), one.clock, MINUTE, one.report.note, 1.0)

    def picture() -> list[Any]:
        return [project.members(pool) for pool in pools.pools.values()]

    before = picture()
    assert step.check(one.host, one.work)
    settled(step.undo)
    assert picture() == before, "undo is safe if nothing was applied"
    one.join()
    assert step.check(one.host, one.work) is None
    after = picture()
    settled(step.apply)
    assert picture() == after, "a second apply changes nothing: not even `updated_at`"
    settled(step.undo)
    project.settle(pools.id)
    assert step.left(one.host, one.work) is None
    assert step.check(one.host, one.work)
    settled(step.undo)


def test_pools_by_name(project: Project, pools: LoadBalancer, boot: Callable[..., Instance],
                       request: pytest.FixtureRequest) -> None:
    one = boot({"smtp": f"{request.node.name}-smtp"})
    one.join()
    assert shown(project, pools.pools["smtp"]) == [(one.name, "192.0.2.10", 25, 1)]


def test_a_duplicate_is_adopted(project: Project, pools: LoadBalancer, boot: Callable[..., Instance]) -> None:
    pool = pools.pools["smtp"]
    by_hand = project.add_member(pools, pool, "192.0.2.10", 25, name="left by an instance", weight=0)
    one = boot({"smtp": pool})
    one.join()
    assert shown(project, pool) == [(one.name, "192.0.2.10", 25, 1)]
    assert project.members(pool)[0]["id"] == by_hand


def test_a_duplicate_that_comes_in_between_is_adopted(project: Project, pools: LoadBalancer,
                                                      boot: Callable[..., Instance]) -> None:
    """Two runs of one instance look at the same moment; the slower one is told 409 and adopts what it finds."""
    pool = pools.pools["smtp"]
    one = boot({"smtp": pool})
    late = one.host.cloud.balancer(one.work.site, one.work.role, one.work.node)
    actions = late._registering(late._goals[0])
    project.add_member(pools, pool, "192.0.2.10", 25)
    with pytest.raises(TransientError, match=r"add 192\.0\.2\.10:25 to pool .* \(smtp\): 409 .*already using ip"):
        actions[0].call()
    one.join()
    assert shown(project, pool) == [(one.name, "192.0.2.10", 25, 1)]


def test_what_differs_is_corrected(project: Project, pools: LoadBalancer, boot: Callable[..., Instance]) -> None:
    pool = pools.pools["smtp"]
    first = boot({"smtp": pool})
    first.join()
    project.me.request("load-balancer", "PUT", f"/v2.0/lbaas/pools/{pool}/members/{project.members(pool)[0]['id']}",
                       {"member": {"weight": 3, "admin_state_up": False}})
    project.settle(pools.id)
    assert first.check() == f"pool {pool} (smtp): up is False, not True, weight is 3, not 1"
    first.join()
    found = project.members(pool)[0]
    assert (found["weight"], found["admin_state_up"]) == (1, True)


def test_another_subnet_needs_another_member(project: Project, pools: LoadBalancer,
                                             boot: Callable[..., Instance]) -> None:
    pool = pools.pools["smtp"]
    project.add_member(pools, pool, "192.0.2.10", 25)
    one = boot({"smtp": pool}, subnet=SUBNET)
    assert one.check() == (f"pool {pool} (smtp): the member is in subnet None, not {SUBNET}; "
                           f"add 192.0.2.10:25 to pool {pool} (smtp)")
    one.join()
    assert [one["subnet_id"] for one in project.members(pool)] == [SUBNET]


def test_a_member_in_error_is_tried_again(rig: Rig, project: Project, pools: LoadBalancer,
                                          boot: Callable[..., Instance]) -> None:
    pool = pools.pools["smtp"]
    one = boot({"smtp": pool})
    one.join()
    connection = sqlite3.connect(rig.database("octavia"), timeout=30)
    with connection:
        connection.execute("UPDATE member SET provisioning_status = 'ERROR' WHERE pool_id = ?", (pool,))
    connection.close()
    assert one.check() == f"pool {pool} (smtp): status is ERROR"
    one.join()
    assert project.members(pool)[0]["provisioning_status"] == "ACTIVE"


def test_what_the_instance_left_at_another_address_goes(project: Project, pools: LoadBalancer,
                                                        boot: Callable[..., Instance]) -> None:
    pool = pools.pools["smtp"]
    one = boot({"smtp": pool})
    project.add_member(pools, pool, "192.0.2.99", 25, name=one.name)
    one.join()
    assert shown(project, pool) == [(one.name, "192.0.2.10", 25, 1)]


def test_pools_under_change_are_waited_for(rig: Rig, project: Project, pools: LoadBalancer,
                                           boot: Callable[..., Instance]) -> None:
    one = boot()
    with rig.pending(1.0):
        one.join()
    assert [shown(project, pool)[0][0] for pool in pools.pools.values()] == [one.name] * 2
    assert any("409" in words and "immutable" in words and "deadline in" in words for words in one.waits())


def test_draining_keeps_the_member(project: Project, pools: LoadBalancer, boot: Callable[..., Instance]) -> None:
    one = boot({"smtp": pools.pools["smtp"]})
    one.join()
    assert balancer.drained(one.host, one.work) == f"pool {pools.pools['smtp']} (smtp): the member takes new sessions"
    one.drain()
    project.settle(pools.id)
    assert balancer.drained(one.host, one.work) is None
    assert shown(project, pools.pools["smtp"]) == [(one.name, "192.0.2.10", 25, 0)]
    one.join()
    assert shown(project, pools.pools["smtp"]) == [(one.name, "192.0.2.10", 25, 1)]


def test_leaving_removes_exactly_the_own_member(project: Project, pools: LoadBalancer,
                                                boot: Callable[..., Instance]) -> None:
    pool = pools.pools["smtp"]
    one, other = boot({"smtp": pool}), boot({"smtp": pool}, address="192.0.2.11")
    one.join()
    other.join()
    project.add_member(pools, pool, "192.0.2.12", 25, name="by hand")
    one.leave()
    project.settle(pools.id)
    assert shown(project, pool) == [("by hand", "192.0.2.12", 25, 1), (other.name, "192.0.2.11", 25, 1)]
    one.leave()
    assert len(project.members(pool)) == 2, "a second time changes nothing"


def test_an_address_that_another_instance_has_now_is_left_alone(project: Project, pools: LoadBalancer,
                                                                boot: Callable[..., Instance]) -> None:
    pool = pools.pools["smtp"]
    old, new = boot({"smtp": pool}), boot({"smtp": pool})
    old.join()
    new.join()
    old.leave()
    assert shown(project, pool) == [(new.name, "192.0.2.10", 25, 1)]


def test_leaving_a_pool_that_is_gone(boot: Callable[..., Instance]) -> None:
    boot({"smtp": "00000000-0000-4000-8000-00000000dead", "imap": "no-such-pool"}).leave()
