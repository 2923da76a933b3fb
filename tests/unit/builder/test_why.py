"""`mailimg why` names what changed, and what that rebuilds."""

from __future__ import annotations

import dataclasses

import pytest
from world import SOURCES, edit

from mailimg import gather
from mailimg.plan import ImagePlan
from mailimg.resources import Resources
from mailimg.why import changes, decided, differences, shown


def planned(world: Resources) -> ImagePlan:
    pairs, distro = gather.load(world, ["mx"], "small-1")
    inputs = gather.measure(world, pairs, distro, SOURCES, index=False)
    return gather.plans(pairs, distro, inputs, form="qcow2", compress="zlib")[0]


def test_nothing_changed(world: Resources) -> None:
    assert not [change for change in changes(decided(planned(world)), planned(world)) if change.rebuilt]


def test_an_edited_element_is_named_and_rebuilds_what_stands_on_it(world: Resources) -> None:
    last = decided(planned(world))
    edit(world.elements / "postal/install.d/50-postal", "#!/bin/bash\n", "#!/bin/bash\necho more\n")
    found = {change.part: change for change in changes(last, planned(world))}
    assert [name for name, change in found.items() if change.rebuilt] == ["mx", "role", "disk"]
    assert len(found["mx"].inputs) == 1
    assert found["mx"].inputs[0].startswith("element postal: ")
    assert found["role"].inputs == ()
    assert found["role"].below == "mx"
    assert found["disk"].below == "role"


def test_a_template_rebuilds_only_the_last_layer(world: Resources) -> None:
    last = decided(planned(world))
    edit(world.roles / "mx/templates/main.cf.j2", "=", "= ")
    rebuilt = [change for change in changes(last, planned(world)) if change.rebuilt]
    assert [change.part for change in rebuilt] == ["role", "disk"]
    assert [words.split(":")[0] for words in rebuilt[0].inputs] == ["templates"]


def test_compression_rebuilds_only_the_disk(world: Resources) -> None:
    plan = planned(world)
    other = dataclasses.replace(plan, inputs={**plan.inputs, "compress": "zstd"})
    rebuilt = [change for change in changes(decided(plan), other) if change.rebuilt]
    assert [(change.part, change.inputs) for change in rebuilt] == [("disk", ("compress: zlib -> zstd",))]


def test_a_layer_that_the_role_did_not_have(world: Resources) -> None:
    plan = planned(world)
    last = decided(plan)
    last["layers"] = [layer for layer in last["layers"] if layer["name"] != "base"]
    found = {change.part: change for change in changes(last, plan)}
    assert found["base"].inputs == ("is new in the role",)
    assert found["mx"].below == "base"
    assert not found["distribution"].rebuilt


def test_differences_in_words() -> None:
    before = {"a": "1", "b": "2", "c": "0" * 64}
    assert differences(before, {"b": "3", "c": "f" * 64, "d": "4"}) == [
        "a: gone",
        "b: 2 -> 3",
        "c: 000000000000 -> ffffffffffff",
        "d: new",
    ]


@pytest.mark.parametrize(
    ("value", "words"), [("", "(empty)"), ("one\ntwo", "one ..."), ("plain", "plain"), ("a" * 64, "a" * 12)]
)
def test_values_are_short(value: str, words: str) -> None:
    assert shown(value) == words
