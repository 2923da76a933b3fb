"""A layer whose tree was changed in the store is noticed, whatever was changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mailimg.store import Store

ONE = "1" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, identity: str, text: str) -> None:
    with store.work() as work:
        tree = work / "tree"
        tree.mkdir()
        (tree / "file").write_text(text)
        store.put(identity, tree, {"name": "base"})


def change_content(tree: Path) -> None:
    (tree / "file").write_text("CONTENT")


def change_mode(tree: Path) -> None:
    (tree / "file").chmod(0o600)


def change_owner(tree: Path) -> None:
    os.chown(tree / "file", 1, 1)


def add_a_file(tree: Path) -> None:
    (tree / "more").write_text("")


def remove_a_file(tree: Path) -> None:
    (tree / "file").unlink()


def truncate(tree: Path) -> None:
    os.truncate(tree / "file", 1)


def change_a_folder(tree: Path) -> None:
    tree.chmod(0o700)


@pytest.mark.parametrize(
    "tamper", [change_content, change_mode, change_owner, add_a_file, remove_a_file, truncate, change_a_folder]
)
def test_a_layer_that_was_changed_is_noticed(store: Store, tamper: Callable[[Path], None]) -> None:
    put(store, ONE, "content")
    other = Store(store.root)
    layer = other.get(ONE)
    assert layer is not None
    times = layer.tree.stat().st_mtime, (layer.tree / "file").stat().st_mtime
    tamper(layer.tree)
    if (layer.tree / "file").exists():
        os.utime(layer.tree / "file", (times[1], times[1]))
    os.utime(layer.tree, (times[0], times[0]))
    assert not other.whole(layer)
    other.discard(ONE)
    assert other.get(ONE) is None


def test_a_layer_as_it_was_is_whole(store: Store) -> None:
    put(store, ONE, "content")
    other = Store(store.root)
    layer = other.get(ONE)
    assert layer is not None
    assert other.whole(layer)
