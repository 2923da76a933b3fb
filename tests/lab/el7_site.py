"""Builds for centos-7 against the stand-in: the shipped elements and roles, with the stand-in's places and keys.

Only the facts that name the outside differ: a copy of elements/distro-centos-7 whose distro.yaml has the stand-in's
URLs, fingerprints and checksum, put before the shipped one by `--elements-path`. Hooks are the shipped ones.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import standin
import yaml
from standin.server import Server

from mailimg.resources import installed

DISTRO = "centos-7"
MAILIMG = str(Path(sys.executable).parent / "mailimg")
# Mirror `one` first, then `two`: what one refuses, the other gives.
MIRRORS = ("one", "two")


@dataclass(frozen=True)
class El7:
    """A host that reaches the stand-in as others reach CentOS's archives; its files lie below `folder`."""

    made: standin.StandIn
    server: Server
    folder: Path

    @property
    def store(self) -> Path:
        """The layer store of all these builds: what they leave is of no use to others."""
        return self.folder / "store"

    def element(self, name: str = "elements", change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
        """A folder with the distribution's element that knows the stand-in; `change` edits its facts first."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        element = folder / f"distro-{DISTRO}"
        shutil.copytree(installed().elements / element.name, element)
        facts = yaml.safe_load((element / "distro.yaml").read_text(encoding="utf-8"))
        facts["base_image"] |= {"urls": [self.server.image_url(mirror) for mirror in MIRRORS],
                                "sha256": self.made.sha256, "bytes": self.made.bytes}
        for repository in facts["packages"]["repositories"]:
            if repository["id"] == "sogo":
                continue
            repository["urls"] = [self.server.url(repository["id"], mirror) for mirror in MIRRORS]
            repository["fingerprint"] = self.key("epel" if repository["id"] == "epel" else "centos").fingerprint
        change(facts)
        (element / "distro.yaml").write_text(yaml.safe_dump(facts, sort_keys=False), encoding="utf-8")
        return folder

    def key(self, name: str) -> standin.keys.Key:
        """Who signed packages: `centos`, `epel`, `sogo`."""
        return self.made.keys[name]

    def sogo(self) -> list[str]:
        """What an operator says of SOGo's repository."""
        return ["--repository", f"sogo={self.server.url('sogo')}",
                "--repository-key", f"sogo={self.key('sogo').public}"]

    def build(
        self, *words: str | Path, elements: Path, place: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """`mailimg build` to its end, whatever that is; `place` is a folder for another store and other images."""
        argv: Sequence[str | Path] = [
            MAILIMG, "build", "--distro", DISTRO, "--elements-path", elements, "--mirror-ca", self.server.ca,
            "--store", self.folder / place / "store", "--output", self.folder / place / "images", *words,
        ]  # fmt: skip
        return subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False)

    def options(self) -> list[str]:
        """The stand-in by options alone, without an element of its own: mirror, keys, base image."""
        words = ["--mirror", self.server.mirror(), "--repository", f"epel={self.server.url('epel')}",
                 "--base-image", str(self.made.base_image), "--base-sha256", self.made.sha256]
        for repository in ("base", "updates", "extras", "epel"):
            words += ["--repository-key",
                      f"{repository}={self.key('epel' if repository == 'epel' else 'centos').public}"]
        return words

    def image(self, role: str) -> Path:
        """Where a role's image lies."""
        return self.folder / "images" / f"{role}-{DISTRO}.qcow2"

    def manifest(self, role: str) -> dict[str, Any]:
        """A role's manifest."""
        path = self.image(role).with_name(f"{self.image(role).name}.manifest.json")
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    def tree(self, role: str) -> Path:
        """The root tree that a role's image was made from."""
        return self.store / "layers" / self.manifest(role)["layers"][-1]["identity"] / "tree"
