"""What layers brought and cost, read from the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import SOURCES

from mailimg import gather, history
from mailimg.packages import Package
from mailimg.plan import ImagePlan
from mailimg.resources import Resources
from mailimg.store import Store

HOOK = {"phase": "install", "hook": "50-x", "start": 1.23456, "seconds": 0.98765}


@pytest.fixture
def plan(world: Resources) -> ImagePlan:
    pairs, distro = gather.load(world, ["mx"], "small-1")
    inputs = gather.measure(world, pairs, distro, SOURCES, index=False)
    return gather.plans(pairs, distro, inputs, form="qcow2", compress="zlib")[0]


@pytest.fixture
def store(plan: ImagePlan, tmp_path: Path) -> Store:
    """Every layer of the plan; each tree has a file of one block more than its parent."""
    store = Store(tmp_path / "store")
    for number, layer in enumerate(plan.layers):
        with store.work() as work:
            tree = work / "tree"
            (tree / "folder").mkdir(parents=True)
            for name in range(number):
                (tree / "folder" / f"{name}").write_bytes(b"x" * 4096)
            store.put(layer.identity, tree, {"name": layer.name, "seconds": number + 0.5, "hooks": [HOOK]})
    return store


def test_facts_of_layers(plan: ImagePlan, store: Store) -> None:
    facts = history.layer_facts(plan, store, ["mx", "role"])
    assert [layer["reused"] for layer in facts] == [True, True, False, False]
    assert [layer["seconds"] for layer in facts] == [0.5, 1.5, 2.5, 3.5]
    assert [layer["tree_bytes"] for layer in facts] == [0, 4096, 8192, 12288]
    assert facts[0]["hooks"] == [{"phase": "install", "hook": "50-x", "start": 1.23, "seconds": 0.99}]


def test_layer_that_left_the_store(plan: ImagePlan, store: Store) -> None:
    store.drop(plan.layers[1].identity)
    facts = history.layer_facts(plan, store, [])
    assert facts[1] == {"reused": True, "tree_bytes": None, "seconds": None, "hooks": []}
    assert facts[2]["tree_bytes"] == 8192


def test_origins(plan: ImagePlan, store: Store) -> None:
    """A package belongs to the first layer that has it, also when a later one brings a newer version."""
    def package(name: str, version: str = "1") -> Package:
        return Package(name, version, "amd64", name, version, 1)

    trees = {
        layer.identity: packages
        for layer, packages in zip(
            plan.layers,
            (
                [package("libc"), package("gone")],
                [package("libc"), package("kernel")],
                [package("libc", "2"), package("kernel"), package("postal")],
            ),
            strict=False,
        )
    }

    def read(tree: Path) -> list[Package]:
        return trees[tree.parent.name]

    last = [package("kernel"), package("libc", "2"), package("postal"), package("late")]
    expected = {"libc": "distribution", "kernel": "base", "postal": "mx", "late": "role"}
    assert history.origins(plan, store, last, read) == expected
    store.drop(plan.layers[1].identity)
    assert history.origins(plan, store, last, read)["kernel"] == "mx", "the next layer that is there"
