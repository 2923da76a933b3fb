"""Boot tests share the images, built by the command as a user builds them, with the layers that are in the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cloud
import pytest
from cloud.environment import locked
from groups import pytest_collection_modifyitems, pytest_runtest_logreport, pytest_xdist_make_scheduler

from mailimg import manifest
from mailimg.commands.verify import stored_tree
from mailimg.lab.state import State
from mailimg.lab.usage import WATCH_LIMIT
from mailimg.store import DEFAULT_ROOT

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_logreport", "pytest_xdist_make_scheduler"]

STORE = Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT))
# Nodes that boot side by side: each is in namespaces of its own, and keeps little more than one core busy.
AT_ONCE = 2
ENOUGH_WATCHES = 1024
T = TypeVar("T")


@contextmanager
def side_by_side(request: pytest.FixtureRequest, name: str, work: Callable[[str], T]) -> Iterator[dict[str, Future[T]]]:
    """Begin what tests of a module will ask for, in their order; what was not begun at the end never is.

    Args:
        request: of the module's fixture.
        name: of the parameter by which the session's tests ask.
        work: what is done with each of its values, in a thread.
    """
    calls = [item.callspec.params for item in request.session.items
             if item.path == request.path and hasattr(item, "callspec")]
    asked = dict.fromkeys(call[name] for call in calls if name in call)
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield {value: pool.submit(work, value) for value in asked}
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session", autouse=True)
def watches() -> None:
    """Let root watch as many files as labs and nodes side by side do; a new machine allows it 128 inotify instances."""
    if int(WATCH_LIMIT.read_text()) < ENOUGH_WATCHES:
        WATCH_LIMIT.write_text(str(ENOUGH_WATCHES))


@pytest.fixture(scope="session")
def store() -> Path:
    """The layer store of boot tests: the command's own, so that layers are kept between runs."""
    return STORE


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder with all images on debian-12, built by the first worker that asks; the others find them unchanged."""
    base = tmp_path_factory.getbasetemp()
    output = (base if worker_id == "master" else base.parent) / "images"
    command = [Path(sys.executable).parent / "mailimg", "build", "--all", "--distro", "debian-12"]
    with locked(output.with_suffix(".lock")):
        subprocess.run([*command, "--output", output, "--store", STORE], check=True)
    return output


@pytest.fixture(scope="session")
def image(images: Path) -> Path:
    """smtp-in on debian-12."""
    return images / "smtp-in-debian-12.qcow2"


@pytest.fixture(scope="session")
def document(image: Path) -> Mapping[str, Any]:
    """The image's manifest."""
    return manifest.read(image)


@pytest.fixture(scope="session")
def tree(document: dict[str, Any]) -> Path:
    """The root tree that the image was made from."""
    return stored_tree(document, STORE)


@pytest.fixture(scope="session")
def rig(store: Path) -> Iterator[cloud.Rig]:
    """Keystone, Barbican and Octavia on loopback; their code is kept beside the layers."""
    with cloud.openstack(store / "cache") as made:
        yield made


class Lab:
    """`mailimg lab` with one name."""

    def __init__(self, name: str, images: Path, storage: str = "bind") -> None:
        self.name = name
        self.images = images
        self.storage = storage
        self.state = State(name)

    def argv(self, verb: str, *words: str) -> list[str]:
        """A command line."""
        return [str(Path(sys.executable).parent / "mailimg"), "lab", verb, "--name", self.name, *words]

    def up_argv(self, *words: str) -> list[str]:
        """The command line that starts it; with `bind` all is in containers."""
        return self.argv("up", "--storage", self.storage, "--images", str(self.images), "--store", str(STORE), *words)

    def run(self, verb: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must be that."""
        told = subprocess.run(self.argv(verb, *words), capture_output=True, text=True, check=False)
        assert told.returncode == code, f"{told.stdout}\n{told.stderr}"
        return told

    def up(self, *words: str) -> str:
        """Start it; what was said."""
        told = subprocess.run(self.up_argv(*words), capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return told.stderr

    def test(self, only: str) -> dict[str, Any]:
        """Results of groups of checks."""
        told = subprocess.run(self.argv("test", "--json", "--only", only), capture_output=True, text=True, check=False)
        assert told.returncode in (0, 1), told.stderr
        return dict(json.loads(told.stdout))

    def proved(self, only: str) -> dict[str, Any]:
        """The same, all of which must hold."""
        result = self.test(only)
        failed = [f"{one['name']}: {one['detail']}" for one in result["checks"] if not one["ok"]]
        assert result["ok"], "\n".join(failed)
        return result


@pytest.fixture(scope="session")
def lab(images: Path) -> Iterator[Lab]:
    """The whole platform in containers, one for all tests that only use it."""
    made = Lab(f"t{os.getpid()}", images)
    try:
        made.up()
        yield made
    finally:
        made.run("down")


@pytest.fixture
def nfs_lab(images: Path) -> Iterator[Lab]:
    """The platform with guests for NFS."""
    made = Lab(f"n{os.getpid()}", images, "nfs")
    try:
        made.up()
        yield made
    finally:
        made.run("down")


@pytest.fixture
def own_lab(images: Path) -> Iterator[Lab]:
    """A platform that a test starts and ends as it likes."""
    made = Lab(f"o{os.getpid()}", images)
    yield made
    made.run("down")
