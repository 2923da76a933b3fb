"""Roles, distributions and images as they stand in their folders: found by listing, checked, turned into values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailimg import documents
from mailimg.errors import InputError
from mailimg.resources import Resources

ELEMENT_PREFIX = "distro-"


@dataclass(frozen=True)
class LayerSpec:
    """A named cut in a role's list of elements; roles with equal cuts share the layer."""

    name: str
    elements: tuple[str, ...]


@dataclass(frozen=True)
class Role:
    """`roles/<name>/role.yaml`; the keys are explained in docs/contract.md."""

    name: str
    summary: str
    layers: tuple[LayerSpec, ...]
    site: tuple[str, ...]
    uses: tuple[str, ...]
    parameters: Mapping[str, Mapping[str, Any]]
    services: tuple[str, ...]
    optional: Mapping[str, Mapping[str, str]]
    databases: tuple[Mapping[str, str], ...]
    volume: Mapping[str, Any] | None
    mount: Mapping[str, Any] | None
    assignment: Mapping[str, Any] | None
    files: tuple[Mapping[str, Any], ...]
    ports: tuple[Mapping[str, Any], ...]
    listeners: tuple[int, ...]
    health: tuple[Mapping[str, Any], ...]
    verify: tuple[str, ...]
    folder: Path

    @property
    def shown(self) -> str:
        """How messages name the file."""
        return f"roles/{self.name}/role.yaml"


@dataclass(frozen=True)
class Distro:
    """`elements/distro-<name>/distro.yaml`; the keys are explained in docs/contract.md."""

    name: str
    summary: str
    os: Mapping[str, str]
    element: str
    packages: Mapping[str, Any]
    base_image: Mapping[str, Any] | None
    disk: Mapping[str, Any]
    kernel: Mapping[str, str]
    python: str
    login: str
    container: bool
    listeners: tuple[int, ...]
    daemons: Mapping[str, Mapping[str, Any]]

    @property
    def shown(self) -> str:
        """How messages name the file."""
        return f"elements/{ELEMENT_PREFIX}{self.name}/distro.yaml"


@dataclass(frozen=True)
class Image:
    """`images/<role>.yaml`: what ships.

    Attributes:
        disk_gib: virtual size of the disk in GiB; the root file system grows to the flavor's disk at first boot.
        min_ram_mib: smallest flavor's memory in MiB.
        properties: Glance properties beyond those that the builder knows itself.
    """

    role: str
    disk_gib: int
    min_ram_mib: int
    properties: Mapping[str, Any]


def role_names(resources: Resources) -> list[str]:
    """Names of all roles, sorted."""
    return sorted({path.parent.name for folder in resources.roles_path for path in folder.glob("*/role.yaml")})


def distro_names(resources: Resources) -> list[str]:
    """Names of all distributions that have an element, sorted."""
    found = [path for folder in resources.elements_path for path in folder.glob(f"{ELEMENT_PREFIX}*/distro.yaml")]
    return sorted({path.parent.name[len(ELEMENT_PREFIX) :] for path in found})


def first_with(folders: Sequence[Path], name: str, file: str) -> Path:
    """The first folder of that name which has the file; the last one's if none has."""
    found = [folder / name for folder in folders if (folder / name / file).is_file()]
    return found[0] if found else folders[-1] / name


def load_role(resources: Resources, name: str) -> Role:
    """Read and check one role.

    Raises:
        InputError: no such role (with the nearest name), or everything that is wrong in its file.
    """
    known = role_names(resources)
    if name not in known:
        raise InputError(
            [f"unknown role {name!r}{documents.nearest(name, known)}"], f"Roles: {', '.join(known)} (`mailimg list`)."
        )
    folder = first_with(resources.roles_path, name, "role.yaml")
    shown = f"roles/{name}/role.yaml"
    document = documents.load(folder / "role.yaml", "role", shown)
    problems = []
    if document["role"] != name:
        problems.append(f"{shown}: role: is {document['role']!r}, but the folder is called {name!r}")
    for index, file in enumerate(document["files"]):
        # A name that facts complete is looked for when they are known (`rolejson`).
        if "{" not in file["template"] and not (folder / "templates" / file["template"]).is_file():
            missing = f"roles/{name}/templates/{file['template']}"
            problems.append(f"{shown}: files[{index}].template: {missing} does not exist")
    for key, parameter in document.get("parameters", {}).items():
        problems += documents.check_default(parameter, f"{shown}: parameters.{key}")
    if problems:
        raise InputError(problems)
    return Role(
        name=name,
        summary=document["summary"],
        layers=tuple(LayerSpec(layer["name"], tuple(layer["elements"])) for layer in document["layers"]),
        site=tuple(document["site"]),
        uses=tuple(document.get("uses", ())),
        parameters=document.get("parameters", {}),
        services=tuple(document["services"]),
        optional=document.get("optional", {}),
        databases=tuple(document.get("databases", ())),
        volume=document.get("volume"),
        mount=document.get("mount"),
        assignment=document.get("assignment"),
        files=tuple(document["files"]),
        ports=tuple(document["ports"]),
        listeners=tuple(document["listeners"]),
        health=tuple(document["health"]),
        verify=tuple(document["verify"]),
        folder=folder,
    )


def load_distro(resources: Resources, name: str) -> Distro:
    """Read and check one distribution.

    Raises:
        InputError: it has no element (with the nearest name), or everything that is wrong in its file.
    """
    known = distro_names(resources)
    if name not in known:
        raise InputError(
            [f"distribution {name!r} has no element in this release{documents.nearest(name, known)}"],
            f"Choose one with --distro: {', '.join(known)} (`mailimg list`).",
        )
    shown = f"elements/{ELEMENT_PREFIX}{name}/distro.yaml"
    folder = first_with(resources.elements_path, f"{ELEMENT_PREFIX}{name}", "distro.yaml")
    document = documents.load(folder / "distro.yaml", "distro", shown)
    if document["distro"] != name:
        raise InputError([f"{shown}: distro: is {document['distro']!r}, but the folder says {name!r}"])
    return Distro(
        name=name,
        summary=document["summary"],
        os=document["os"],
        element=document["element"],
        packages=document["packages"],
        base_image=document.get("base_image"),
        disk=document["disk"],
        kernel=document["kernel"],
        python=document["python"],
        login=document["login"],
        container=document.get("container", True),
        listeners=tuple(document["listeners"]),
        daemons=document["daemons"],
    )


def load_image(resources: Resources, role: str) -> Image:
    """Read and check what ships for a role.

    Raises:
        InputError: everything that is wrong in the file, or that there is none.
    """
    shown, path = f"images/{role}.yaml", resources.images / f"{role}.yaml"
    own = first_with(resources.roles_path, role, "image.yaml")
    if not path.exists() and (own / "image.yaml").exists():
        # An own role is one folder: what ships may stand in it.
        shown, path = f"roles/{role}/image.yaml", own / "image.yaml"
    document = documents.load(path, "image", shown)
    if document["role"] != role:
        raise InputError([f"{shown}: role: is {document['role']!r}, but the file is called {role!r}"])
    return Image(role, document["disk_gib"], document["min_ram_mib"], document.get("properties", {}))
