"""The layer store: finished root trees by identity. Below its folder lie:

    layers/<identity>/tree        a finished tree
    layers/<identity>/layer.json  what it is; the folder appears by one rename, whole
    work/<build>/                 of one running build; removed by the next one if its owner was killed
    locks/                        one file a layer
    cache/                        downloaded packages, diskimage-builder's own cache, environments of the tests
    peers/                        first states of the peers that verifications start
    last/<image>.json             what decided the last build of an image
    logs/                         diskimage-builder's output, one file a run
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailimg import process, scratch, trees
from mailimg.errors import InputError, StepError

DEFAULT_ROOT = Path("/var/cache/mailimg")
LOCK_POLL_SECONDS = 0.2
USE = "use"  # the lock of everything that needs layers to stay; no layer has such a short identity


@dataclass(frozen=True)
class StoredLayer:
    """A layer that is in the store; `facts` is its layer.json."""

    identity: str
    tree: Path
    facts: Mapping[str, Any]


class Store:
    """The layer store below one folder; safe to use by several builds at once."""

    def __init__(self, root: Path) -> None:
        if any(character.isspace() for character in str(root)):
            problem = f"--store {str(root)!r}: diskimage-builder cannot work in a folder with a blank in its name"
            raise InputError([problem])
        self.root = root
        self.trusted: set[str] = set()
        for name in ("layers", "work", "locks", "cache", "logs"):
            try:
                (root / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StepError(
                    f"open the layer store {root}: {error.strerror}", "Choose another place with --store DIR."
                ) from error

    def get(self, identity: str) -> StoredLayer | None:
        """The layer of an identity, or None when it has to be built."""
        layer = self.peek(identity)
        if layer is not None:
            os.utime(layer.tree.parent / "layer.json")
        return layer

    def whole(self, layer: StoredLayer) -> bool:
        """Whether a layer's tree is still what was put in; looked at once in the life of this object."""
        if layer.identity not in self.trusted:
            if trees.state(layer.tree).digest != layer.facts.get("tree"):
                return False
            self.trusted.add(layer.identity)
        return True

    def put(self, identity: str, tree: Path, facts: Mapping[str, Any]) -> StoredLayer:
        """Take a finished tree in by renaming it; the caller holds the layer's lock.

        Args:
            tree: on the store's file system, best in a folder that `work` gave.
        """
        state = trees.state(tree)
        facts = {**facts, "tree": state.digest, "bytes": state.bytes}
        folder = tree.parent / f"{identity}.whole"
        folder.mkdir()
        (folder / "layer.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        tree.rename(folder / "tree")
        # Else a power cut could keep the rename and lose the bytes of files that later builds would trust.
        sync_filesystem(folder)
        target = self.root / "layers" / identity
        folder.rename(target)
        sync(target.parent)
        self.trusted.add(identity)
        return StoredLayer(identity, target / "tree", facts)

    @contextmanager
    def lock(self, name: str, waits: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a lock of that name against other threads and processes; waits as long as it takes.

        Args:
            waits: told once when somebody else holds the lock.

        Raises:
            StepError: the command was interrupted while it waited.
        """
        with self._locked(name, fcntl.LOCK_EX, waits):
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Held by a build from its first layer to its last image: no layer is removed meanwhile."""
        with self._locked(USE, fcntl.LOCK_SH, None):
            yield

    @contextmanager
    def alone(self, waits: Callable[[], None]) -> Iterator[None]:
        """Held by what removes layers; waits for running builds, and new ones wait for it."""
        with self._locked(USE, fcntl.LOCK_EX, waits):
            yield

    @contextmanager
    def _locked(self, name: str, kind: int, waits: Callable[[], None] | None) -> Iterator[None]:
        with (self.root / "locks" / name).open("w") as stream:
            told = False
            while True:
                try:
                    fcntl.flock(stream, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if waits is not None and not told:
                        waits()
                        told = True
                # A thread that sleeps in flock() would outlive Ctrl-C.
                if process.stopped.wait(LOCK_POLL_SECONDS):
                    raise StepError("interrupted while waiting for another build")
            yield

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A folder for one piece of work, removed afterwards; what a killed build left is removed first."""
        with scratch.scratch(self.root / "work") as folder:
            yield folder

    def sweep(self) -> None:
        """Remove the work folders of builds that live no more; their mounts and processes ended with them."""
        scratch.sweep(self.root / "work")

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
        except ValueError as error:
            raise StepError(f"{folder}: layer.json is damaged: {error}", f"Remove the layer: rm -r {folder}") from error
        return StoredLayer(identity, folder / "tree", facts)

    def used(self, identity: str) -> float:
        """When a layer was last used, seconds since the epoch."""
        return (self.root / "layers" / identity / "layer.json").stat().st_mtime

    def drop(self, identity: str) -> None:
        """Remove a layer that nobody uses (`alone`)."""
        with self.lock(identity):
            self.discard(identity)

    def discard(self, identity: str) -> None:
        """Remove a layer: first out of sight by one rename, then its files; the caller holds its lock."""
        self.trusted.discard(identity)
        with self.work() as folder:
            layer = self.root / "layers" / identity
            # Another `clean` may have been faster.
            if layer.exists():
                layer.rename(folder / identity)

    def empty_caches(self) -> int:
        """Remove what is kept only for speed beside the layers (`alone`); what is left of `cache` is its folder.

        Returns:
            bytes of the files that are gone.
        """
        freed = 0
        with self.work() as folder:
            for name in ("cache", "peers"):
                kept = self.root / name
                if kept.exists():
                    freed += sum(path.lstat().st_size for path in kept.rglob("*") if not path.is_dir())
                    kept.rename(folder / name)
        (self.root / "cache").mkdir(exist_ok=True)
        return freed

    def remember(self, name: str, record: Mapping[str, Any]) -> None:
        """Keep what decided an image, for `mailimg why`."""
        path = self.root / "last" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        partial.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)

    def recall(self, name: str) -> dict[str, Any] | None:
        """What decided the last build of an image, or None when there was none."""
        try:
            return dict(json.loads((self.root / "last" / f"{name}.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def free_bytes(self) -> int:
        """Free space on the store's file system."""
        return shutil.disk_usage(self.root).free


def sync_filesystem(folder: Path) -> None:
    """Write out the file system that holds a folder; unlike os.sync() it does not wait for others, which may hang.

    Raises:
        OSError: something that was written before could not be kept.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)


def sync(folder: Path) -> None:
    """Make a rename in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
