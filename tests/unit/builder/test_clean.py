"""`mailimg clean`: what goes, what stays, and what is said of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailimg.commands import options
from mailimg.commands.clean import clean
from mailimg.store import Store

DAY = 86400


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three layers of 1 MiB, last used today, ten and twenty days ago."""
    # What it needs root for are trees whose files are root's.
    monkeypatch.setattr(options, "need_root", lambda what: None)
    made = Store(tmp_path / "store")
    for name, days in (("fresh", 0), ("older", 10), ("oldest", 20)):
        with made.work() as folder:
            (folder / "tree").mkdir()
            (folder / "tree" / "file").write_bytes(bytes(1 << 20))
            made.put(name, folder / "tree", {"name": name})
        seconds = time.time() - days * DAY
        os.utime(made.root / "layers" / name / "layer.json", (seconds, seconds))
    return made


def removed(store: Store, *arguments: str) -> list[str]:
    told = CliRunner().invoke(clean, [*arguments, "--store", str(store.root), "--json"], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    names = json.loads(told.stdout)["removed"]
    assert {layer.identity for layer in store.layers()} == {"fresh", "older", "oldest"} - set(names)
    return list(names)


@pytest.mark.parametrize(("arguments", "gone"), [
    ((), ["oldest"]),
    (("--older-than", "5"), ["oldest", "older"]),
    (("--older-than", "30"), []),
    (("--older-than", "30", "--max-size", "0.0025"), ["oldest"]),
    (("--all",), ["oldest", "older", "fresh"]),
])
def test_those_unused_for_longest_go(store: Store, arguments: tuple[str, ...], gone: list[str]) -> None:
    assert removed(store, *arguments) == gone


def test_all_takes_the_caches_too(store: Store) -> None:
    kept = [store.root / "cache" / "slot-0" / "package", store.root / "peers" / "domain-1" / "state"]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(1000))
    removed(store)
    assert all(path.exists() for path in kept)
    told = CliRunner().invoke(clean, ["--all", "--store", str(store.root), "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["freed_bytes"] >= 2 * (1 << 20) + 2000
    assert not any(path.exists() for path in kept)
    assert Store(store.root).root.joinpath("cache").is_dir()


def test_what_is_said(store: Store) -> None:
    told = CliRunner().invoke(clean, ["--store", str(store.root)], catch_exceptions=False)
    assert told.stdout.splitlines() == ["removed oldest         oldest", "1 layers removed, 1 MiB freed, 2 kept"]
