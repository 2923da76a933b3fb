"""Run commands in the tree of the stand-in's base image, as a build does in its chroot; nothing stays."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from standin import StandIn, packages
from standin.server import Server

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Tree:
    """The tree of a base image.

    Attributes:
        raw: the image, converted to raw.
        offset: where its only partition begins, bytes.
    """

    raw: Path
    offset: int

    def run(self, script: str, files: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a bash script in the tree and return how it ended.

        Args:
            files: written into the tree first: texts by absolute path.
        """
        with tempfile.TemporaryDirectory(prefix="mailimg-stand-in-") as folder:
            own, work = Path(folder) / "files", Path(folder) / "work"
            own.mkdir()
            work.mkdir()
            for name, text in (files or {}).items():
                path = own / name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            command = ["bash", str(HERE / "inside.sh"), str(self.raw), str(self.offset), str(own), str(work)]
            return process.run(process.confine([*command, "bash", "-c", script]), what="run in the stand-in",
                               timeout=300, check=False)


def unpack(image: Path, raw: Path) -> Tree:
    """The tree of an image; `raw` is written."""
    process.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], what="convert", timeout=300)
    told = process.run(["sfdisk", "--json", raw], what="read the partition table", timeout=60).stdout
    table = json.loads(told)["partitiontable"]
    (partition,) = table["partitions"]
    return Tree(raw, partition["start"] * table["sectorsize"])


def repositories(
    server: Server, mirrors: Iterable[str] = ("one",), names: Iterable[str] = packages.REPOSITORIES
) -> str:
    """A repository file of yum for a running server: each repository with a URL on each mirror, in order."""
    files = {"centos": "RPM-GPG-KEY-CentOS-7", "epel": "RPM-GPG-KEY-EPEL-7", "sogo": "RPM-GPG-KEY-SOGo"}
    return "\n".join(
        f"[{name}]\nname={name}\nfailovermethod=priority\ngpgcheck=1\n"
        f"baseurl={' '.join(server.url(name, mirror) for mirror in mirrors)}\n"
        f"gpgkey=file:///etc/pki/rpm-gpg/{files[packages.SIGNER[name]]}\n"
        for name in names
    )


def files(stand_in: StandIn, repositories_text: str) -> dict[str, str]:
    """Files for `Tree.run`: a repository file in the place of those that the image brings, and the keys it names."""
    public = {name: key.public.read_text(encoding="ascii") for name, key in stand_in.keys.items()}
    return {
        "/etc/yum.repos.d/CentOS-Base.repo": "",
        "/etc/yum.repos.d/CentOS-Vault.repo": "",
        "/etc/yum.repos.d/test.repo": repositories_text,
        "/etc/pki/rpm-gpg/RPM-GPG-KEY-EPEL-7": public["epel"],
        "/etc/pki/rpm-gpg/RPM-GPG-KEY-SOGo": public["sogo"],
    }
