"""Servers out of a layer and onto another image, in the real Heat and Octavia: which go, in which order, what stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloud
import pytest
import stack_site
from cloud.member import Member, at_once, image, monitored
from stack_site import Platform, started

from mailimg.store import DEFAULT_ROOT
from mailimg_firstboot import orders as orders_of

pytestmark = pytest.mark.lab
NAME = "mail"
PARAMETERS = ("server_network=servers", "user_networks=192.0.2.0/24", "smtp_in_size=3", "smtp_in_min=1",
              "smtp_in_flavor=m1.small", "cooldown=0", "balancer_subnet=7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A stack of smtp-in alone: three servers."""
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache", *cloud.ALL) as rig:
        made = stack_site.make(rig, tmp_path_factory.mktemp("platform"))
        done = apply(made)
        assert done.status == 0, done.err
        yield made


@pytest.fixture(autouse=True)
def willing(platform: Platform) -> Iterator[None]:
    """Servers leave when they are told to, unless a test says otherwise."""
    yield
    platform.fleet.leaving, platform.fleet.served, platform.fleet.health = at_once, True, "ONLINE"


def apply(platform: Platform, *more: str) -> stack_site.Run:
    words = [word for one in PARAMETERS if not one.startswith("smtp_in_size") or not more
             for word in ("--parameter", one)]
    return platform.run("apply", "--site", str(platform.site), "--name", NAME, "--distro", "debian-12", "--role",
                        "smtp-in", *words, *more)


def scale_in(platform: Platform, *more: str) -> stack_site.Run:
    return platform.mailimg("scale-in", "--role", "smtp-in", "--name", NAME, *more)


def roll(platform: Platform, *more: str) -> stack_site.Run:
    return platform.run("roll", "--role", "smtp-in", "--name", NAME, *more)


def pooled(platform: Platform) -> list[str]:
    return sorted(name.removeprefix("mailimg-") for name in platform.members(NAME, "smtp_in_smtp_pool"))


def orders(platform: Platform) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.rig.project().me.get("orchestration", "/software_deployments")[
        "software_deployments"]
    return found


def parameters(platform: Platform) -> dict[str, str]:
    found: dict[str, str] = platform.stack(NAME)["parameters"]
    return {name.removeprefix("smtp_in_"): value for name, value in found.items() if name.startswith("smtp_in_")}


def test_the_very_one_that_was_chosen_goes_after_it_has_left(platform: Platform) -> None:
    before = platform.servers("smtp-in")
    seen: list[tuple[str, bool]] = []
    # Heat would take the oldest server. This one has the oldest image: it is no longer there.
    platform.rig.infrastructure.things["servers"][before[2]]["image"]["id"] = "7d8f4f0e-2c41-4f0e-9a55-0d8b5f8f2a10"

    def leaving(member: Member) -> bool:
        seen.append((member.id, member.id in platform.rig.infrastructure.deleted("servers")))
        return len(seen) > 3

    platform.fleet.leaving = leaving
    done = scale_in(platform, "--json")
    assert done.status == 0, done.err
    gone = done.json["gone"][0]["server"]
    assert gone == before[2]
    assert {one for one, _ in seen} == {gone}
    assert not any(deleted for _, deleted in seen)
    assert sorted(platform.servers("smtp-in")) == sorted(before[:2]) == pooled(platform)
    assert orders(platform) == []
    assert f"server {gone} is told to leave" in done.err


def test_a_group_stays_as_large_as_it_is_when_the_stack_is_applied_again(platform: Platform) -> None:
    before = platform.servers("smtp-in")
    platform.signal(NAME, "smtp_in_scale_out")
    platform.until("a third", lambda: len(pooled(platform)) == 3)
    settle(platform)
    assert apply(platform, "--parameter", "smtp_in_max=9").status == 0
    assert len(platform.servers("smtp-in")) == 3
    assert set(before) < set(platform.servers("smtp-in"))


def settle(platform: Platform) -> None:
    path = f"/stacks/{NAME}/{platform.stack(NAME)['id']}/resources/smtp_in_group/metadata"
    platform.until("the group is done", lambda: not platform.rig.project().me.get("orchestration", path)["metadata"][
        "scaling_in_progress"])


def test_a_server_that_cannot_leave_stays_and_its_reason_is_told(platform: Platform) -> None:
    before = platform.servers("smtp-in")

    def unable(member: Member) -> bool:
        machine = member.machine
        found = orders_of.look(machine.host, machine.clock, machine.options)
        if found is not None:
            found.answer(False, "leave: handover: 2 messages left in the queue: 3F1 9A2", machine.clock, str)
        return False

    platform.fleet.leaving = unable
    done = scale_in(platform, "--count", "2")
    assert done.status == 1
    assert "cannot leave: leave: handover: 2 messages left in the queue: 3F1 9A2" in done.err
    assert f"Go on: mend that, then `mailimg scale-in --role smtp-in --name {NAME}`" in done.err
    assert platform.servers("smtp-in") == before
    assert platform.stack(NAME)["stack_status"].endswith("_COMPLETE"), "Heat was asked"


def test_a_drain_that_does_not_end_in_time_and_goes_on_later(platform: Platform) -> None:
    before = platform.servers("smtp-in")
    platform.fleet.leaving = lambda _member: False
    done = scale_in(platform, "--timeout", "3")
    assert done.status == 1
    assert "has not left after 3 s" in done.err
    order = next(one for one in orders(platform) if one["status"] == "IN_PROGRESS")
    assert f"openstack software deployment delete {order['id']}" in done.err
    assert platform.servers("smtp-in") == before
    platform.fleet.leaving = at_once
    done = scale_in(platform)
    assert f"server {order['server_id']} was told to leave before" in done.err
    assert set(before) - set(platform.servers("smtp-in")) == {order["server_id"]}
    assert orders(platform) == []


def test_interrupted_it_goes_on_with_the_same_server(platform: Platform) -> None:
    platform.signal(NAME, "smtp_in_scale_out")
    platform.until("a third", lambda: len(pooled(platform)) == 3)
    settle(platform)
    platform.fleet.leaving = lambda _member: False
    with started(platform.rig, platform.folder, "scale-in", "--role", "smtp-in", "--name", NAME) as process:
        platform.until("the order", lambda: orders(platform))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert "goes on leaving" in (platform.folder / "err").read_text()
    told = orders(platform)[0]["server_id"]
    platform.fleet.leaving = at_once
    assert scale_in(platform).status == 0
    assert told not in platform.servers("smtp-in")
    assert orders(platform) == []


def test_no_fewer_than_the_least_and_nothing_of_another_role(platform: Platform) -> None:
    done = scale_in(platform, "--count", "2")
    assert done.status == 2
    assert "--count 2: 0 servers would be left of 2, and smtp_in_min is 1" in done.err
    assert scale_in(platform, "--count", "0").status == 2
    wrong = platform.mailimg("scale-in", "--role", "sogo", "--name", NAME)
    assert wrong.status == 2
    assert "stack mail has no group of it" in wrong.err
    done = roll(platform, "--image", "mailimg-nfs")
    assert done.status == 2
    assert "is of role nfs, not smtp-in" in done.err


@pytest.mark.parametrize(("changes", "words"), [
    ({"OS_PASSWORD": "wrong"}, ("log in at", "401", "`openstack token issue`")),
    ({"OS_REGION_NAME": "Nowhere"}, ("the cloud has no orchestration service", "`openstack catalog list`")),
])
@pytest.mark.parametrize("command", [("scale-in", "--role", "smtp-in"), ("stack", "roll", "--role", "smtp-in")])
def test_no_way_in(platform: Platform, changes: dict[str, str], words: tuple[str, ...],
                   command: tuple[str, ...]) -> None:
    with started(platform.rig, platform.folder, *command, **changes) as process:
        assert process.wait(60) == 1
    said = (platform.folder / "err").read_text()
    for word in words:
        assert word in said


def test_new_servers_first_and_old_ones_one_by_one(platform: Platform) -> None:
    """From centos-7 to debian-12."""
    before, old = platform.servers("smtp-in"), parameters(platform)["image"]
    new = image(platform.rig.project(), "smtp-in", ticket=2, distro="debian-12")
    found = [platform.rig.project().me.get("image", f"/v2/images/{one}") for one in (old, new)]
    assert [one["mailimg_distro"] for one in found] == ["centos-7", "debian-12"]
    there: list[tuple[str, int]] = []
    platform.fleet.leaving = lambda member: not there.append((member.id, len(pooled(platform))))
    done = roll(platform, "--json")
    assert done.status == 0, done.err
    assert (done.json["image"], done.json["before"]) == (new, old)
    gone = [one["server"] for one in done.json["gone"]]
    assert sorted(gone) == sorted(before)
    # Servers in the pool when each was told: all the new ones serve before the first goes, and one goes at a time.
    assert [next(count for one, count in there if one == server) for server in gone] == [4, 3]
    assert len(platform.servers("smtp-in")) == 2
    assert images(platform) == {new}
    assert (parameters(platform)["serving"], parameters(platform)["former_size"]) == ("second", "0")
    again = roll(platform)
    assert again.status == 0
    assert "have mailimg-smtp-in" in again.out


def images(platform: Platform) -> set[str]:
    return {one["image"]["id"] for one in platform.rig.infrastructure.all("servers")}


def test_alarms_change_the_group_that_serves(platform: Platform) -> None:
    platform.signal(NAME, "smtp_in_scale_out")
    platform.until("a third", lambda: len(pooled(platform)) == 3)
    assert len(images(platform)) == 1
    found = platform.run("status", "--name", NAME, "--json").json
    assert {one["group"] for one in found["servers"]} == {"smtp_in"}
    platform.until("the group is done", lambda: scale_in(platform).status == 0)
    assert len(platform.servers("smtp-in")) == 2


def test_new_servers_that_fail_leave_the_old_ones_alone_and_it_can_be_taken_back(platform: Platform) -> None:
    before, old = platform.servers("smtp-in"), parameters(platform)["image"]
    new = image(platform.rig.project(), "smtp-in", ticket=3)
    platform.fleet.served = False
    done = roll(platform)
    assert done.status == 1
    assert "no virus database" in done.err
    assert f"Back: the same command with --image {old}." in done.err
    assert set(before) <= set(platform.servers("smtp-in"))
    assert sorted(before) == pooled(platform)
    shrinking = scale_in(platform)
    assert shrinking.status == 1
    assert "stack mail: UPDATE_FAILED" in shrinking.err
    assert "`mailimg stack apply` tries it again" in shrinking.err
    platform.fleet.served = True
    third = roll(platform, "--image", image(platform.rig.project(), "smtp-in", ticket=4))
    assert third.status == 2
    assert f"a roll from image {old} to {new} is not finished" in third.err
    back = roll(platform, "--image", old)
    assert back.status == 0, back.err
    assert sorted(platform.servers("smtp-in")) == sorted(before) == pooled(platform)
    assert parameters(platform)["image"] == old


def test_it_waits_for_health_and_stops_at_the_first_that_does_not_leave_and_goes_on(platform: Platform) -> None:
    before, old = platform.servers("smtp-in"), parameters(platform)["image"]
    new = image(platform.rig.project(), "smtp-in", ticket=5)
    platform.fleet.health = "ERROR"
    with started(platform.rig, platform.folder, "stack", "roll", "--role", "smtp-in", "--name", NAME) as process:
        platform.until("it waits", lambda: "waits for health" in (platform.folder / "err").read_text(), 300)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert "interrupted: the new servers are there, and no old one has left" in (platform.folder / "err").read_text()
    assert set(before) < set(pooled(platform))
    for one in platform.servers("smtp-in"):
        monitored(platform.rig, one, "ONLINE")
    told: list[str] = []

    def only_the_first(member: Member) -> bool:
        told.append(member.id)
        return member.id == told[0]

    platform.fleet.leaving = only_the_first
    done = roll(platform, "--timeout", "15")
    assert done.status == 1
    assert f"server {told[-1]} has not left after 15 s" in done.err
    assert f"All back: the same command with --image {old}." in done.err
    assert len(set(told)) == 2, "the next was told although one had not left"
    assert set(before) - set(platform.servers("smtp-in")) == {told[0]}
    platform.fleet.leaving = at_once
    done = roll(platform)
    assert done.status == 0, done.err
    assert images(platform) == {new}
    assert len(platform.servers("smtp-in")) == len(before)
    assert orders(platform) == []


def test_a_stack_that_is_busy_is_left_alone(platform: Platform) -> None:
    asked: list[str] = []
    before = len(platform.servers("smtp-in"))
    platform.fleet.leaving = lambda member: bool(asked.append(member.id))
    platform.shrink(NAME, "smtp_in_scale_in", lambda: bool(asked))
    done = scale_in(platform)
    assert done.status == 1
    assert "is being made, taken away or scaled at the moment" in done.err
    platform.fleet.leaving = at_once
    platform.until("it shrinks", lambda: len(platform.servers("smtp-in")) == before - 1)


def test_everything_goes_with_the_stack(platform: Platform) -> None:
    assert platform.run("delete", "--name", NAME, "--yes").status == 0
    assert platform.servers("smtp-in") == platform.rig.infrastructure.taken("os-interface") == []
