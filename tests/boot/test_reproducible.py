"""The same inputs give the same bytes: another store, another folder, another time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mailimg.store import Store

pytestmark = pytest.mark.boot


def test_a_second_build_elsewhere_gives_the_same_image(
    document: Mapping[str, Any], store: Path, tmp_path: Path
) -> None:
    command = [str(Path(sys.executable).parent / "mailimg"), "build", "--role", "smtp-in", "--distro", "debian-12"]
    told = subprocess.run(
        [*command, "--store", str(tmp_path / "another-store"), "--output", str(tmp_path / "images"), "--json"],
        stdout=subprocess.PIPE, check=True,
    ).stdout
    (built,) = json.loads(told)
    assert built["layers_built"] == [layer["name"] for layer in document["layers"]], "nothing came from the first store"
    assert built["identity"] == document["identity"]
    first, second = Store(store), Store(tmp_path / "another-store")
    for layer in document["layers"]:
        one, other = first.peek(layer["identity"]), second.peek(layer["identity"])
        assert one is not None
        assert other is not None
        assert one.facts["tree"] == other.facts["tree"], f"layer {layer['name']} has another tree"
    assert built["sha256"] == document["image"]["sha256"]
