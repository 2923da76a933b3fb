"""The yardstick: what a plain `disk-image-create` takes for an image with the same software."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from mailimg import apt, dib, process
from mailimg.plan import layer_elements
from mailimg.resources import Resources
from mailimg.roles import Distro, Role

# Brought by the element debian-minimal itself: a second kernel would only slow the yardstick down.
KERNELS = ("linux-image-cloud-amd64",)


def mapped(name: str, pkg_map: dict[str, Any], distro: str, family: str) -> list[str]:
    """Packages that element pkg-map installs for a name."""
    for section, key in (("distro", distro), ("family", family)):
        names = pkg_map.get(section, {}).get(key, {})
        if name in names:
            return str(names[name]).split()
    return str(pkg_map.get("default", {}).get(name, name)).split()


def element_packages(element: Path, distro: str, family: str) -> list[str]:
    """Packages that an element installs."""
    wanted = element / "package-installs.yaml"
    if not wanted.is_file():
        return []
    names = yaml.safe_load(wanted.read_text()) or {}
    chart = element / "pkg-map"
    pkg_map = json.loads(chart.read_text()) if chart.is_file() else {}
    kept = [name for name, rules in names.items() if not (rules or {}).get("uninstall")]
    return [package for name in kept for package in mapped(name, pkg_map, distro, family)]


def role_packages(role: Role, distro: Distro, resources: Resources) -> list[str]:
    """All packages of a role's own elements; those of diskimage-builder's are in the yardstick anyway."""
    found: set[str] = set()
    known = dib.Elements(resources.elements_path)
    for _, elements in layer_elements(role, distro):
        for place in known.expand(elements).values():
            if place.parent == resources.elements:
                found |= set(element_packages(place, "debian", "debian"))
    return sorted(found - set(KERNELS))


def command(packages: list[str], image: Path) -> list[str]:
    """As a user would call it: the default elements, a file system on the whole disk, compressed by qemu-img."""
    program = Path(sys.executable).parent / "disk-image-create"
    argv = [str(program), "-t", "qcow2", "-o", str(image.with_suffix("")), "-p", ",".join(packages), "debian-minimal"]
    return process.confine(argv)


def environment(sources: apt.AptSources, work: Path) -> dict[str, str]:
    """What points it at the same package sources, with a cache and a working folder of its own."""
    conf = work / "apt.conf"
    conf.write_text("\n".join(sources.conf) + "\n")
    names = ("default", "updates", "security")
    return {
        "PATH": f"{Path(sys.executable).parent}:{process.BASE_ENV['PATH']}",
        "TMP_DIR": str(work),
        "DIB_IMAGE_CACHE": str(work / "cache"),
        "DIB_LOCKFILES": str(work / "locks"),
        "DIB_RELEASE": sources.archives[0].suite,
        "DIB_DISTRIBUTION_MIRROR": sources.archives[0].url,
        "DIB_APT_SOURCES_CONF": "\n".join(
            f"{name}:{archive.line}" for name, archive in zip(names, sources.archives, strict=True)
        ),
        "DIB_MMDEBSTRAP_EXTRA_ARGS": f"--aptopt={conf}",
        "DEBIAN_FRONTEND": "noninteractive",
    }
