"""The layer store: layers appear whole, locks exclude, only dead work is removed."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailimg import process, scratch
from mailimg.errors import InputError, StepError
from mailimg.store import Store

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def interruption() -> Iterator[threading.Event]:
    """The mark that Ctrl-C sets, taken back afterwards."""
    yield process.stopped
    process.stopped.clear()


def put(store: Store, identity: str, text: str = "x") -> None:
    with store.work() as work:
        tree = work / "tree"
        tree.mkdir()
        (tree / "file").write_text(text)
        store.put(identity, tree, {"name": "base"})


def pieces(store: Store) -> list[Path]:
    return [path for path in (store.root / "work").iterdir() if path.is_dir()]


def test_layer_comes_back(store: Store) -> None:
    assert store.get(ONE) is None
    put(store, ONE, "content")
    layer = store.get(ONE)
    assert layer is not None
    assert (layer.tree / "file").read_text() == "content"
    assert layer.facts["name"] == "base"
    assert layer.facts["bytes"] > 0
    assert [stored.identity for stored in store.layers()] == [ONE]
    assert pieces(store) == []


def test_layer_is_not_there_before_it_is_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off at any rename on the way, the store shows nothing."""
    for allowed in (0, 1):
        left = [allowed]
        rename = Path.rename

        def cut(path: Path, target: Path, left: list[int] = left, rename: object = rename) -> Path:
            assert callable(rename)
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return Path(rename(path, target))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", cut)
            with pytest.raises(KeyboardInterrupt):
                put(store, ONE)
        assert store.get(ONE) is None
        assert list((store.root / "layers").iterdir()) == []
        assert pieces(store) == []
    put(store, ONE)
    assert store.get(ONE) is not None


def test_use_counts_but_a_look_does_not(store: Store) -> None:
    put(store, ONE)
    facts = store.root / "layers" / ONE / "layer.json"
    os.utime(facts, (1000, 1000))
    assert store.peek(ONE) is not None
    assert store.used(ONE) == 1000
    assert store.get(ONE) is not None
    assert time.time() - store.used(ONE) < 60


def test_damaged_layer_is_not_trusted(store: Store) -> None:
    put(store, ONE)
    (store.root / "layers" / ONE / "layer.json").write_text("")
    with pytest.raises(StepError, match=r"layer\.json is damaged") as caught:
        store.get(ONE)
    assert caught.value.hint == f"Remove the layer: rm -r {store.root}/layers/{ONE}"


def test_drop(store: Store) -> None:
    put(store, ONE)
    put(store, TWO)
    store.drop(ONE)
    assert [layer.identity for layer in store.layers()] == [TWO]
    assert pieces(store) == []
    store.drop(ONE)


def test_work_is_removed_whatever_happens(store: Store) -> None:
    def fail() -> None:
        with store.work() as work:
            (work / "deep").mkdir()
            (work / "deep" / "link").symlink_to("/nowhere")
            raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        fail()
    assert pieces(store) == []


def test_sweep_takes_dead_work_and_leaves_living(store: Store) -> None:
    dead = store.root / "work" / "dead"
    (dead / "tree" / "usr").mkdir(parents=True)
    (dead / scratch.LOCK).touch()
    stillborn = store.root / "work" / "stillborn"
    stillborn.mkdir()
    with store.work() as living:
        assert pieces(store) == [living], "the start of a piece of work sweeps"
        dead.mkdir()
        store.sweep()
        assert pieces(store) == [living]
        with store.work() as other:
            assert sorted(pieces(store)) == sorted([living, other])
        assert pieces(store) == [living]


def test_many_pieces_of_work_at_once(store: Store) -> None:
    """Each start sweeps; none may take a newborn neighbour for dead."""
    lost: list[str] = []

    def piece() -> None:
        for _ in range(20):
            with store.work() as work:
                (work / "mine").touch()
                time.sleep(0.001)
                if not (work / "mine").exists():
                    lost.append(work.name)

    threads = [threading.Thread(target=piece) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert pieces(store) == []


def test_left_overs_of_another_prefix_stay(tmp_path: Path) -> None:
    for name in (".mailimg-work-dead", ".mailimg-other", "smtp-in.qcow2.d"):
        (tmp_path / name).mkdir()
    (tmp_path / ".mailimg-work-file").touch()
    scratch.sweep(tmp_path, ".mailimg-work-")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".lock", ".mailimg-other", "smtp-in.qcow2.d", ".mailimg-work-file"}


def test_lock_excludes(store: Store) -> None:
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with store.lock(ONE, waits=waits.set):
            order.append("second")

    with store.lock(ONE):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10), "the second was not told that it waits"
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_locks_of_different_layers_do_not_meet(store: Store) -> None:
    def never() -> None:
        pytest.fail("waited for another layer's lock")

    with store.lock(ONE, waits=never), store.lock(TWO, waits=never):
        pass
    with store.lock(ONE, waits=never):
        pass


def test_interruption_ends_the_wait_for_a_lock(store: Store, interruption: threading.Event) -> None:
    with (store.root / "locks" / ONE).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StepError, match="interrupted while waiting"), store.lock(ONE, waits=interruption.set):
            pytest.fail("held by another")


def test_interrupted_command_starts_no_program(interruption: threading.Event) -> None:
    # The unit tests' closed door would fail the test if it came to that.
    interruption.set()
    with pytest.raises(StepError, match="write the image: interrupted"):
        process.run(["true"], what="write the image")


def test_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StepError, match=f"open the layer store {tmp_path}/file/store: Not a directory") as caught:
        Store(tmp_path / "file" / "store")
    assert "--store DIR" in caught.value.hint


def test_facts_are_json(store: Store) -> None:
    put(store, ONE)
    facts = json.loads((store.root / "layers" / ONE / "layer.json").read_text())
    assert set(facts) == {"name", "tree", "bytes"}


def test_no_layer_is_removed_while_a_build_runs(store: Store) -> None:
    told: list[str] = []
    order: list[str] = []

    def clean() -> None:
        with Store(store.root).alone(lambda: told.append("waits")):
            order.append("clean")

    thread = threading.Thread(target=clean)
    with store.in_use(), Store(store.root).in_use():
        thread.start()
        time.sleep(0.5)
        order.append("build")
    thread.join(10)
    assert order == ["build", "clean"]
    assert told == ["waits"]


def test_the_last_build_is_remembered(store: Store) -> None:
    assert store.recall("mx-small-1") is None
    store.remember("mx-small-1", {"layers": []})
    assert store.recall("mx-small-1") == {"layers": []}


def test_a_folder_that_diskimage_builder_cannot_use(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with a blank in its name"):
        Store(tmp_path / "a store")
