"""The layer store: finished root trees by identity.

    <root>/layers/<identity>/tree        a finished tree
    <root>/layers/<identity>/layer.json  what it is; the folder appears by one rename, whole
    <root>/work/<name>/                  of one running build; swept when its lock is free
    <root>/locks/                        one file a layer, one a piece of work
    <root>/cache/                        downloaded packages, diskimage-builder's own cache
    <root>/logs/                         diskimage-builder's output, one file a run
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailimg.errors import StepError

DEFAULT_ROOT = Path("/var/cache/mailimg")


@dataclass(frozen=True)
class StoredLayer:
    """A layer that is in the store; `facts` is its layer.json."""

    identity: str
    tree: Path
    facts: Mapping[str, Any]


class Store:
    """The layer store below one folder; safe to use by several builds at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("layers", "work", "locks", "cache", "logs"):
            try:
                (root / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StepError(
                    f"open the layer store {root}: {error.strerror}", "Choose another place with --store DIR."
                ) from error

    def get(self, identity: str) -> StoredLayer | None:
        """The layer of an identity, or None when it has to be built."""
        folder = self.root / "layers" / identity
        try:
            facts = json.loads((folder / "layer.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        os.utime(folder / "layer.json")
        return StoredLayer(identity, folder / "tree", facts)

    def put(self, identity: str, tree: Path, facts: Mapping[str, Any]) -> StoredLayer:
        """Take a finished tree in by renaming it; the caller holds the layer's lock.

        Args:
            tree: on the store's file system, best in a folder that `work` gave.
        """
        folder = tree.parent / f"{identity}.whole"
        folder.mkdir()
        (folder / "layer.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        tree.rename(folder / "tree")
        target = self.root / "layers" / identity
        folder.rename(target)
        sync(target.parent)
        return StoredLayer(identity, target / "tree", facts)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock of that name against other threads and processes; waits as long as it takes."""
        with (self.root / "locks" / name).open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A folder for one piece of work, removed afterwards; what a killed build left is removed first."""
        self.sweep()
        folder = Path(tempfile.mkdtemp(dir=self.root / "work", prefix=""))
        lock = (self.root / "locks" / f"work-{folder.name}").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            remove_tree(folder)
            Path(lock.name).unlink()
            lock.close()

    def sweep(self) -> None:
        """Remove the work folders of builds that live no more; their mounts and processes ended with them."""
        for folder in (self.root / "work").iterdir():
            path = self.root / "locks" / f"work-{folder.name}"
            if not path.exists():
                # Either its owner is just about to create the lock, or it was killed right there: age tells.
                if time.time() - folder.stat().st_mtime > 60:
                    remove_tree(folder)
                continue
            with path.open("r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                remove_tree(folder)
                path.unlink(missing_ok=True)

    def layers(self) -> list[StoredLayer]:
        """All layers in the store."""
        names = sorted(path.name for path in (self.root / "layers").iterdir())
        return [layer for layer in map(self.peek, names) if layer is not None]

    def peek(self, identity: str) -> StoredLayer | None:
        """Like `get`, without counting as use."""
        folder = self.root / "layers" / identity
        try:
            facts = json.loads((folder / "layer.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return StoredLayer(identity, folder / "tree", facts)

    def used(self, identity: str) -> float:
        """When a layer was last used, seconds since the epoch."""
        return (self.root / "layers" / identity / "layer.json").stat().st_mtime

    def drop(self, identity: str) -> None:
        """Remove a layer: first out of sight by one rename, then its files."""
        with self.lock(identity), self.work() as folder:
            (self.root / "layers" / identity).rename(folder / identity)

    def free_bytes(self) -> int:
        """Free space on the store's file system."""
        return shutil.disk_usage(self.root).free


def remove_tree(folder: Path) -> None:
    """Remove a folder that may hold a root tree; never crosses into a mounted file system."""
    if not folder.exists():
        return
    device = folder.stat().st_dev
    for path, names, _ in os.walk(folder):
        for name in names:
            place = Path(path) / name
            if not place.is_symlink() and place.stat().st_dev != device:
                raise StepError(f"remove {folder}: {place} is still mounted", f"Unmount it: umount {place}")
    shutil.rmtree(folder)


def sync(folder: Path) -> None:
    """Make a rename in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
