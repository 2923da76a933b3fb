"""An own role is one folder, an own distribution is one folder: both from a temporary directory, built for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mailimg.resources import installed
from mailimg.store import DEFAULT_ROOT, Store, StoredLayer

pytestmark = pytest.mark.lab

STORE = Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT))
MARK = "etc/mailimg-own"

ROLE = """\
schema: 1
role: ticket-in
summary: A role of somebody's own
layers:
  - {name: ticket-in, elements: [mailimg-time]}
site: []
services: [chrony]
files:
  - {template: motd.j2, path: "{{ motd.path }}"}
ports: []
listeners: []
health: []
verify: []
"""
IMAGE = "schema: 1\nrole: ticket-in\ndisk_gib: 2\nmin_ram_mib: 512\n"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders: own roles, own elements."""
    role = tmp_path / "roles" / "ticket-in"
    (role / "templates").mkdir(parents=True)
    (role / "role.yaml").write_text(ROLE)
    (role / "image.yaml").write_text(IMAGE)
    (role / "templates" / "motd.j2").write_text("{{ node.fqdn }}\n")

    distro = tmp_path / "elements" / "distro-own-12"
    shutil.copytree(installed().elements / "distro-debian-12", distro)
    hook = distro / "post-install.d" / "85-distro-own-12-mark"
    hook.write_text(f"#!/bin/bash\nset -eu\nset -o pipefail\necho own > /{MARK}\n")
    hook.chmod(0o755)
    text = (distro / "distro.yaml").read_text()
    for old in ("distro: debian-12\n", "element: distro-debian-12\n"):
        assert old in text
        text = text.replace(old, old.replace("debian-12", "own-12"))
    (distro / "distro.yaml").write_text(text + "  motd: {path: /etc/motd}\n")
    return tmp_path / "roles", tmp_path / "elements"


def marked(store: Store) -> list[StoredLayer]:
    """The layers of the own distribution; others build in this store."""
    return [layer for layer in store.layers() if (layer.tree / MARK).is_file()]


def test_own_role_on_own_distribution(places: tuple[Path, Path], tmp_path: Path) -> None:
    mailimg = str(Path(sys.executable).parent / "mailimg")
    own = ["--roles-path", str(places[0]), "--elements-path", str(places[1])]
    listed = subprocess.run([mailimg, "list", "--json", *own], stdout=subprocess.PIPE, check=True).stdout
    assert "ticket-in" in json.loads(listed)["roles"]
    assert {"own-12", "debian-12"} <= set(json.loads(listed)["distros"])

    store = Store(STORE)
    try:
        # No kernel is in the role, so no disk can be made: what is proved is everything before it.
        command = [mailimg, "build", "--role", "ticket-in", "--distro", "own-12", *own]
        told = subprocess.run([*command, "--store", str(STORE), "--output", str(tmp_path / "out")],
                              capture_output=True, text=True, check=False)
        assert told.returncode == 1
        assert "/vmlinuz" in told.stderr
        made = marked(store)
        assert sorted(layer.facts["name"] for layer in made) == ["distribution", "role", "ticket-in"]
        last = next(layer for layer in made if layer.facts["name"] == "role")
        role = json.loads((last.tree / "etc/mailimg/role.json").read_text())
        assert (role["role"], role["distro"]) == ("ticket-in", "own-12")
        assert role["files"][0]["path"] == "/etc/motd"
        assert (last.tree / "usr/share/mailimg/templates/motd.j2").is_file()
    finally:
        for layer in marked(store):
            store.drop(layer.identity)
