"""Boot tests share the images, built by the command as a user builds them, with the layers that are in the store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cloud
import pytest

from mailimg import manifest
from mailimg.commands.verify import stored_tree
from mailimg.store import DEFAULT_ROOT

STORE = Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT))


@pytest.fixture(scope="session")
def store() -> Path:
    """The layer store of boot tests: the command's own, so that layers are kept between runs."""
    return STORE


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all images on debian-12, built in one run."""
    output = tmp_path_factory.mktemp("images")
    command = [Path(sys.executable).parent / "mailimg", "build", "--all", "--distro", "debian-12"]
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
