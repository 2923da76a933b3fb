"""Lab tests need root, and share one layer store: the distribution's layer takes half a minute."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cloud
import pytest
import standin
from builder_site import Site, make_site
from el7_site import El7
from glance_site import Operator
from groups import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from standin import inside, keys, server

from mailimg.store import DEFAULT_ROOT

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]


@pytest.fixture(scope="session")
def store_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer store of all lab tests: MAILIMG_STORE if it is set, else one that lasts as long as the session."""
    kept = os.environ.get("MAILIMG_STORE")
    return Path(kept) if kept else tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A small installation with a store of its own: its tests look at all that is there, and nobody else builds."""
    store = tmp_path_factory.mktemp("site-store")
    yield make_site(tmp_path_factory.mktemp("site"), store)
    shutil.rmtree(store)


@pytest.fixture(scope="session")
def stand_in() -> standin.StandIn:
    """The stand-in for CentOS 7; kept between runs beside the layers."""
    return standin.make(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache" / "stand-in")


@pytest.fixture(scope="session")
def el7(stand_in: standin.StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[El7]:
    """An installation that finds the stand-in on loopback, by an authority that only `--mirror-ca` makes known."""
    folder = tmp_path_factory.mktemp("el7")
    with standin.serve(stand_in, keys.make_authority(folder, "house")) as running:
        yield El7(stand_in, running, folder)


@pytest.fixture(scope="session")
def tree(stand_in: standin.StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[inside.Tree]:
    """The tree of the stand-in's base image."""
    raw = tmp_path_factory.mktemp("stand-in") / "disk.raw"
    yield inside.unpack(stand_in.base_image, raw)
    raw.unlink()


@pytest.fixture
def served(stand_in: standin.StandIn) -> Iterator[server.Server]:
    """The stand-in's archive, from a server of each test's own."""
    with standin.serve(stand_in) as running:
        yield running


@pytest.fixture(scope="session")
def rig() -> Iterator[cloud.Rig]:
    """Keystone, Barbican and Octavia on loopback, once for all tests; their code is kept beside the layers."""
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache") as made:
        yield made


@pytest.fixture(scope="session")
def image_rig() -> Iterator[cloud.Rig]:
    """Keystone and Glance on loopback, once for all tests of images."""
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache", "keystone", "glance") as made:
        yield made


@pytest.fixture
def operator(image_rig: cloud.Rig, tmp_path: Path) -> Iterator[Operator]:
    """Somebody in a project without images."""
    made = Operator(tmp_path, image_rig, image_rig.project())
    yield made
    made.end()
    made.clear()
