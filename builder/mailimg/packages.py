"""The packages of a built tree, asked from the tree's own database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError

# Where element mailimg-yum leaves the list of a tree's packages.
RPM_LIST = "usr/lib/mailimg/packages"


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


def read_rpm(tree: Path) -> list[Package]:
    """Packages of an RPM tree, by name, as the tree's own rpm listed them when the layer was built.

    Not from the database: rpm of this host cannot read the one of CentOS 7, and the tree's own writes to it when asked.

    Raises:
        StepError: the tree has no such list.
    """
    path = tree / RPM_LIST
    try:
        return parse_rpm(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StepError(f"read the list of packages {path}: {error.strerror}") from error


def parse_rpm(text: str) -> list[Package]:
    """Lines of `name, epoch:version-release, architecture, source package's file, bytes`, separated by tabs."""
    packages = []
    for line in text.splitlines():
        name, version, architecture, source_file, size = line.split("\t")
        source, source_version = name, version
        if source_file.endswith(".src.rpm"):
            source, upstream, release = source_file[: -len(".src.rpm")].rsplit("-", 2)
            source_version = f"{upstream}-{release}"
        packages.append(Package(name, version, architecture, source, source_version, int(size) // 1024))
    return sorted(packages, key=lambda package: (package.name, package.version))


def parse_dpkg(text: str) -> list[Package]:
    """What `read_dpkg` asked for, one package a line; removed packages are left out."""
    packages = []
    for line in text.splitlines():
        status, name, version, architecture, source, source_version, size = line.split("\t")
        if status.startswith("ii"):
            packages.append(Package(name, version, architecture, source, source_version, int(size or 0)))
    return sorted(packages, key=lambda package: package.name)


READERS = {"apt": read_dpkg, "yum": read_rpm}
