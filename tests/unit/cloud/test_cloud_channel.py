"""Which image is current, and what is left to tidy: the rule on which everyone who promotes must agree."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from cloud_world import image

from mailimg.cloud import channel, retire
from mailimg.cloud.choose import choose
from mailimg.cloud.images import CHANNEL, OLD, READY, CloudImage, current, current_in
from mailimg.cloud.servers import Servers
from mailimg.errors import InputError


def test_the_highest_ticket_is_current() -> None:
    known = [image("a", stable="9"), image("b", stable="10"), image("c", "nfs", stable="99"), image("d", testing="50")]
    found = current(known, "smtp-in", "stable")
    assert found is not None
    assert found.id == "b"
    assert current(known, "sogo", "stable") is None
    assert channel.next_ticket(known, "smtp-in", "stable") == 11
    assert channel.next_ticket(known, "sogo", "stable") == 1


def test_of_equal_tickets_the_order_of_the_answer_does_not_decide() -> None:
    known = [image("a", stable="5"), image("b", stable="5")]
    for order in (known, known[::-1]):
        found = current(order, "smtp-in", "stable")
        assert found is not None
        assert found.id == "b"


def test_what_is_left_to_do() -> None:
    known = [
        image("a", stable="1"), image("b", stable="2", hidden=True, state=OLD), image("c", stable="1", testing="1"),
        image("d"), image("e", "nfs", stable="1"),
    ]  # fmt: skip
    changes = {one.image.id: (one.values, one.remove) for one in channel.untidy(known, "smtp-in")}
    assert changes == {
        "a": ({"mailimg_state": OLD, "os_hidden": True}, (f"{CHANNEL}stable",)),
        # Somebody hid the current image.
        "b": ({"mailimg_state": READY, "os_hidden": False}, ()),
        # Lost one channel, holds another.
        "c": ({}, (f"{CHANNEL}stable",)),
    }


def applied(known: Sequence[CloudImage], change: channel.Change) -> list[CloudImage]:
    """The images after one change."""
    one = change.image
    properties = {name: value for name, value in {**one.properties, **change.values}.items()
                  if name not in change.remove and isinstance(value, str)}
    shown = {"id": one.id, "name": one.name, "status": "active", "owner": "p", "created_at": one.created,
             "os_hidden": change.values.get("os_hidden", one.hidden), **properties}
    return [CloudImage.from_glance(shown) if other.id == one.id else other for other in known]


@pytest.mark.parametrize("seed", range(50))
def test_tidying_in_any_order_ends_and_changes_no_winner(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same every time
    known = [image(str(number), hidden=chance.random() < 0.5, state=chance.choice([READY, OLD, "retired"]),
                   **{name: str(chance.randrange(4)) for name in ("stable", "testing") if chance.random() < 0.6})
             for number in range(6)]
    winners = {name: current(known, "smtp-in", name) for name in ("stable", "testing")}
    ids = {name: one and one.id for name, one in winners.items()}
    for _ in range(len(known)):
        left = channel.untidy(known, "smtp-in")
        if not left:
            break
        known = applied(known, chance.choice(left))
        assert {name: (one := current(known, "smtp-in", name)) and one.id for name in ids} == ids
    assert channel.untidy(known, "smtp-in") == []
    shown = [one for one in known if one.tickets]
    assert {one.id for one in shown} == {one for one in ids.values() if one}
    assert all(not one.hidden and one.state == READY for one in shown)


@pytest.mark.parametrize("name", ["", "Stable", "a-b", "a_b", "9a", "x" * 33, "a\n"])
def test_names_that_no_channel_has(name: str) -> None:
    with pytest.raises(InputError, match="small letter"):
        channel.check_name(name)
    assert channel.check_name("stable2") == "stable2"


def test_what_cannot_be_promoted() -> None:
    good = image("a", verified="qemu-bios")
    assert channel.promotable(good, untested=False) == []
    for other, words in ((image("a", verified="untested"), "untested"), (image("a"), "untested"),
                         (image("a", verified="x", state="uploading"), "its upload is not finished")):
        (problem,) = channel.promotable(other, untested=False)
        assert problem.endswith(words)
    assert channel.promotable(image("a"), untested=True) == []


def test_the_current_image_is_not_retired_by_mistake() -> None:
    one, other = image("a", stable="2"), image("b", stable="1")
    known = [one, other]
    assert current_in(one, known) == ["stable"]
    (problem,) = retire.refusal(one, known, even_current=False)
    assert problem == "name-a (a): is the current image of smtp-in in stable"
    assert retire.refusal(one, known, even_current=True) == []
    assert retire.refusal(other, known, even_current=False) == []
    assert retire.refusal(image("c", state="uploading"), known, even_current=True) != []


@pytest.mark.parametrize(("servers", "ignore", "words"), [
    (Servers("", False, {}), False, ""),
    (Servers("", False, {"a": ["one"]}), True, "1 server uses it: one"),
    (Servers("", False, {"a": list("gfedcba")}), True, "7 servers use it: a, b, c, d, e and 2 more"),
    (Servers("no Nova"), False, "whether servers use it is not known: no Nova"),
    (Servers("no Nova"), True, ""),
])
def test_an_image_in_use_stays(servers: Servers, ignore: bool, words: str) -> None:
    assert retire.in_use(image("a"), servers, ignore_unknown=ignore) == words


def test_several_images_may_be_meant() -> None:
    known = [image("12345678-a", identity="abcdefgh1"), image("12345678-b", identity="abcdefgh2")]
    assert choose("12345678-a", known).id == "12345678-a"
    assert choose("name-12345678-b", known).id == "12345678-b"
    assert choose("abcdefgh2", known).id == "12345678-b"
    with pytest.raises(InputError, match="may be any of"):
        choose("12345678", known)
    with pytest.raises(InputError, match="no image of mailimg"):
        choose("1234567", known)
