"""Which servers go, how large groups stay, and what a roll has to do: from what Heat says alone."""

from __future__ import annotations

from typing import Any

import pytest

from mailimg.errors import InputError
from mailimg.stack import groups, pools, roll, scalein
from mailimg.stack.groups import LEFT, Member
from mailimg.stack.keep import kept

OLD, NEW, OTHER = "image-old", "image-new", "image-other"
PARAMETERS = {"smtp_in_serving": "first", "smtp_in_image": OLD, "smtp_in_former_image": OLD, "smtp_in_min": "1",
              "smtp_in_max": "10", "smtp_in_size": "2", "smtp_in_former_size": "0"}


def member(name: str, group: str = "smtp_in_group", created: str = "2026-01-01T00:00:00Z",
           status: str = "CREATE_COMPLETE", reason: str = "") -> Member:
    return Member(group, name, f"/stacks/g/1/resources/{name}", status, reason, created, f"server-{name}")


def entry(place: str, kind: str = "member.yaml", status: str = "CREATE_COMPLETE", physical: str = "",
          reason: str = "state changed") -> dict[str, Any]:
    name = place.rpartition("/")[2]
    return {"place": place, "resource_type": kind, "resource_name": name, "resource_status": status,
            "physical_resource_id": physical, "resource_status_reason": reason, "creation_time": "2026-01-01T00:00:00Z",
            "links": [{"rel": "stack", "href": "..."},
                      {"rel": "self", "href": f"https://heat/v1/p/stacks/s/1/resources/{name}"}]}


def stack(*extra: dict[str, Any]) -> list[dict[str, Any]]:
    """A layer of two with one that has left, an empty second group, and webmail that is one server."""
    return [
        entry("smtp_in_group", groups.TYPE), entry("smtp_in_second_group", groups.TYPE),
        entry("sogo_group", groups.TYPE), entry("smtp_in_group/a"),
        entry("smtp_in_group/a/server", "OS::Nova::Server", physical="uuid-a"),
        entry("smtp_in_group/b"),
        entry("smtp_in_group/c", status="CHECK_FAILED", reason=f"{LEFT} (uuid-c)"), entry("sogo_group/x"),
        entry("smtp_in_smtp_pool", "OS::Octavia::Pool"), *extra,
    ]


def test_members_are_found_with_their_servers_and_paths() -> None:
    found = {one.place: one for one in groups.members(stack())}
    assert set(found) == {"smtp_in_group/a", "smtp_in_group/b", "smtp_in_group/c", "sogo_group/x"}
    assert (found["smtp_in_group/a"].server, found["smtp_in_group/b"].server) == ("uuid-a", "")
    assert found["smtp_in_group/a"].path == "/stacks/s/1/resources/a"
    assert [one.place for one in found.values() if one.left] == ["smtp_in_group/c"]


def test_groups_stay_as_large_as_they_are() -> None:
    assert groups.sizes(stack(), PARAMETERS) == {"smtp_in_size": 2, "smtp_in_former_size": 0, "sogo_size": 1}
    turned = {**PARAMETERS, "smtp_in_serving": "second"}
    assert groups.sizes(stack(), turned) == {"smtp_in_size": 0, "smtp_in_former_size": 2, "sogo_size": 1}


def test_members_that_have_failed_count_where_they_are_to_be_made_again() -> None:
    broken = stack(entry("smtp_in_group/d", status="CREATE_FAILED"))
    assert groups.sizes(broken, PARAMETERS)["smtp_in_size"] == 2
    assert groups.sizes(broken, PARAMETERS, broken=True)["smtp_in_size"] == 3, "the one that has left counts"


def test_apply_leaves_groups_as_rolls_and_alarms_have_made_them() -> None:
    known = {*PARAMETERS, "sogo_size", "other"}
    found = kept({**PARAMETERS, "smtp_in_serving": "second", "other": "x"}, stack(), known)
    assert found == {"smtp_in_serving": "second", "smtp_in_former_image": OLD, "smtp_in_former_size": 2, "sogo_size": 1}
    # A group that was never made has the size that the template says.
    assert "smtp_in_size" not in found
    assert kept(PARAMETERS, stack(), {"sogo_size"}) == {"sogo_size": 1}


def test_somebody_is_at_a_group() -> None:
    assert groups.busy(stack()) == []
    assert groups.busy(stack(entry("sogo_group/y", status="DELETE_IN_PROGRESS"))) == ["sogo_group/y"]


@pytest.mark.parametrize(("told", "first", "gone"), [
    # The image that is no longer there, then the older image, then the older server.
    ((), "", ["gone", "early", "late", "new"]),
    (("server-new",), "", ["new", "gone", "early", "late"]),
    ((), "smtp_in_second_group", ["second", "gone", "early", "late", "new"]),
])
def test_who_goes_first(told: tuple[str, ...], first: str, gone: list[str]) -> None:
    known = [member("new", created="2026-01-01T00:00:00Z"), member("late", created="2026-01-03T00:00:00Z"),
             member("early", created="2026-01-02T00:00:00Z"), member("gone", created="2026-01-09T00:00:00Z")]
    if first:
        known.append(member("second", first))
    images = {"server-new": "2026-06-01", "server-late": "2026-05-01", "server-early": "2026-05-01",
              "server-second": "2026-07-01"}
    found = groups.choose(known, first, images, told, len(gone))
    assert [one.name for one in found] == gone
    assert groups.choose(known, first, images, told, 1) == found[:1]


def test_one_that_has_left_is_taken_away_before_another_is_told() -> None:
    left = member("x", status="CHECK_FAILED", reason=f"{LEFT} (uuid)")
    assert groups.choose([member("a"), left], "", {}, ["server-a"], 1) == [left]


@pytest.mark.parametrize(("serving", "other", "count", "fits"), [(3, 0, 2, True), (3, 0, 3, False), (1, 2, 2, True),
                                                                (1, 2, 3, False)])
def test_not_fewer_than_the_least(serving: int, other: int, count: int, fits: bool) -> None:
    if fits:
        scalein.refuse_small("smtp_in", PARAMETERS, serving, other, count)
        return
    with pytest.raises(InputError, match=f"0 servers would be left of {serving}, and smtp_in_min is 1"):
        scalein.refuse_small("smtp_in", PARAMETERS, serving, other, count)


def planned(wanted: str, members: list[Member], again: bool = False, **changes: str) -> roll.Plan | None:
    return roll.plan("smtp_in", wanted, {**PARAMETERS, **{f"smtp_in_{key}": value for key, value in changes.items()}},
                     members, again)


def second(name: str, **more: str) -> Member:
    return member(name, "smtp_in_second_group", **more)


def test_a_roll_begins_in_the_group_that_is_empty() -> None:
    assert planned(NEW, [member("a"), member("b")]) == roll.Plan(
        "smtp_in_second_group", "smtp_in_group", 2, OLD, {
            "smtp_in_serving": "second", "smtp_in_image": NEW, "smtp_in_former_image": OLD, "smtp_in_size": 2,
            "smtp_in_former_size": 2})
    back = planned(NEW, [second("a")], serving="second")
    assert back is not None
    assert (back.target, back.parameters["smtp_in_serving"]) == ("smtp_in_group", "first")


def test_all_have_the_image() -> None:
    assert planned(OLD, [member("a"), member("b")]) is None


def test_a_roll_that_was_cut_off_goes_on() -> None:
    turned = {"serving": "second", "image": NEW, "former_image": OLD}
    on = planned(NEW, [member("a"), member("b"), second("c"), second("d", status="CREATE_FAILED")], **turned)
    assert on is not None
    assert (on.target, on.old, on.size, on.before) == ("smtp_in_second_group", "smtp_in_group", 2, OLD)
    assert on.parameters["smtp_in_former_size"] == 2
    # Only a new server that failed is left to be made.
    assert planned(NEW, [second("c"), second("d", status="CREATE_FAILED")], **turned) is not None
    assert planned(NEW, [second("c"), second("d")], **turned) is None


def test_servers_of_the_same_image_for_another_document() -> None:
    assert planned(OLD, [member("a"), member("b")], again=True) == roll.Plan(
        "smtp_in_second_group", "smtp_in_group", 2, OLD, {
            "smtp_in_serving": "second", "smtp_in_image": OLD, "smtp_in_former_image": OLD, "smtp_in_size": 2,
            "smtp_in_former_size": 2})
    # Cut off: the same command goes on with it, as long as an old server is there; then it begins another.
    turned = {"serving": "second"}
    for again in (True, False):
        on = planned(OLD, [member("a"), second("c"), second("d", status="CREATE_FAILED")], again=again, **turned)
        assert on is not None
        assert (on.target, on.old, on.size, on.begun) == ("smtp_in_second_group", "smtp_in_group", 2, True)
        assert on.parameters["smtp_in_serving"] == "second"
    assert planned(OLD, [second("c"), second("d")], **turned) is None
    anew = planned(OLD, [second("c"), second("d")], again=True, **turned)
    assert anew is not None
    assert (anew.target, anew.old, anew.begun) == ("smtp_in_group", "smtp_in_second_group", False)
    # Of another image it is a roll like any other.
    assert planned(NEW, [member("a")], again=True) == planned(NEW, [member("a")])


def test_the_way_back_is_by_the_image_or_by_the_document() -> None:
    other, same = planned(NEW, [member("a")]), planned(OLD, [member("a")], again=True)
    assert other is not None
    assert same is not None
    assert roll.back(other, NEW) == f"the same command with --image {OLD}"
    assert roll.back(same, OLD) == (
        "`mailimg stack apply` with the site document from before, then the same command with --again")


def test_a_roll_is_taken_back() -> None:
    turned = {"serving": "second", "image": NEW, "former_image": OLD}
    back = planned(OLD, [member("a"), second("c"), second("d")], **turned)
    assert back is not None
    assert (back.target, back.old, back.size, back.before) == ("smtp_in_group", "smtp_in_second_group", 2, NEW)
    assert back.parameters["smtp_in_former_image"] == NEW
    broken = planned(OLD, [member("a"), member("b"), second("c", status="CREATE_FAILED")], **turned)
    assert broken is not None
    assert broken.parameters["smtp_in_former_size"] == 0
    assert broken.parameters["smtp_in_former_image"] == OLD, "Heat would try to make those that failed"


def test_one_roll_at_a_time() -> None:
    with pytest.raises(InputError, match=f"a roll from image {OLD} to {NEW} is not finished"):
        planned(OTHER, [member("a"), second("c")], serving="second", image=NEW, former_image=OLD)


def test_who_is_not_in_service() -> None:
    assert pools.ailing({"a": {"smtp": "ONLINE"}, "b": {"smtp": "NO_MONITOR", "imap": "ONLINE"}}) == []
    assert pools.ailing({"a": {}, "b": {"smtp": "ONLINE", "imap": "ERROR"}}) == [
        "server a: in no pool", "server b: ERROR in pool imap"]
