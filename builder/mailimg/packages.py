"""The packages of a built tree, asked from the tree's own database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mailimg import process


@dataclass(frozen=True)
class Package:
    """An installed package; `source` and `source_version` name what it was built from; `size_kib` is installed size."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    size_kib: int


def read_dpkg(tree: Path) -> list[Package]:
    """Packages of a Debian tree, by name."""
    fields = "${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Installed-Size}\n"
    answer = process.run(
        ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", f"--showformat=${{db:Status-Abbrev}}\t{fields}"],
        what="read the tree's package database",
        timeout=60,
    )
    return parse_dpkg(answer.stdout)


def parse_dpkg(text: str) -> list[Package]:
    """What `read_dpkg` asked for, one package a line; removed packages are left out."""
    packages = []
    for line in text.splitlines():
        status, name, version, architecture, source, source_version, size = line.split("\t")
        if status.startswith("ii"):
            packages.append(Package(name, version, architecture, source, source_version, int(size or 0)))
    return sorted(packages, key=lambda package: package.name)
