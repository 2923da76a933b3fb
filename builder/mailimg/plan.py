"""What will be built, as a value: a pure function of roles, distribution and measured inputs.

A layer's identity hashes everything that decides it, its parent's identity included; so does an image's. Nothing here
reads a clock, the network or the environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.identity import derived_uuid, digest_document
from mailimg.roles import Distro, Image, Role
from mailimg.sources import BaseImage, Measured, Share

GIB = 1024**3

# The last layer of every image: small, so that an edited template or agent costs seconds.
ROLE_LAYER = ("mailimg-agent", "mailimg-role")


@dataclass(frozen=True)
class Inputs:
    """What was measured before planning.

    Attributes:
        elements: for each list of elements asked for, the digest of each element it expands to.
        packages: what layers are resolved against; its epoch stands for "now" in what is built.
        base_image: what the distribution's tree is taken from; None if it is bootstrapped from packages.
        programs: version of each program that decides bytes.
        agent: digest of the agent's sources.
        templates: for each role, the digest of its templates.
        role_documents: for each role, its role.json without an identity.
    """

    elements: Mapping[tuple[str, ...], Mapping[str, str]]
    packages: Measured
    base_image: BaseImage | None
    programs: Mapping[str, str]
    agent: str
    templates: Mapping[str, str]
    role_documents: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Layer:
    """One layer of a tree.

    Attributes:
        name: as role.yaml calls it; `distribution` for the first, `role` for the last.
        elements: handed to diskimage-builder beside the distribution's own element.
        parent: identity of the layer below, or None.
        identity: 64 hex digits.
        inputs: what decided it, name -> digest or version; `mailimg why` compares these.
        role: the role whose files the layer holds; None for shared layers.
    """

    name: str
    elements: tuple[str, ...]
    parent: str | None
    identity: str
    inputs: Mapping[str, str]
    role: str | None = None


@dataclass(frozen=True)
class ImagePlan:
    """One image.

    Attributes:
        layers: parent first.
        inputs: what decided disk and image beside the last layer, by name.
        size_bytes: of the virtual disk.
        min_ram_mib: memory of the smallest flavor it runs on.
        epoch: seconds since 1970 that stand for "now" in the file system.
        root_uuid, disk_uuid, hash_seed: derived from the identity.
        properties: that the image gets in a cloud; they decide no byte of it, so the identity does not count them.
    """

    role: str
    distro: str
    layers: tuple[Layer, ...]
    inputs: Mapping[str, str]
    size_bytes: int
    min_ram_mib: int
    epoch: int
    form: str
    compress: str
    identity: str
    root_uuid: str
    disk_uuid: str
    hash_seed: str
    properties: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Role and distribution."""
        return f"{self.role}-{self.distro}"

    @property
    def file_name(self) -> str:
        """Name of the image file."""
        return f"{self.name}.{self.form}"


def plan_image(role: Role, distro: Distro, image: Image, inputs: Inputs, *, form: str, compress: str) -> ImagePlan:
    """Resolve one role on one distribution."""
    layers: list[Layer] = []
    for name, elements in layer_elements(role, distro):
        parent = layers[-1].identity if layers else None
        owner = role.name if name == "role" else None
        decided = layer_inputs(elements, inputs, owner)
        identity = digest_document({"name": name, "elements": list(elements), "parent": parent, "inputs": decided})
        layers.append(Layer(name, elements, parent, identity, decided, owner))

    size_bytes = image.disk_gib * GIB
    disk = {
        "size": str(size_bytes),
        "epoch": str(inputs.packages.epoch),
        "disk": digest_document(distro.disk),
        "kernel": digest_document(distro.kernel),
        "format": form,
        "compress": compress,
        **{f"program {name}": value for name, value in inputs.programs.items()},
    }
    identity = digest_document({"tree": layers[-1].identity, "disk": disk})
    return ImagePlan(
        role=role.name,
        distro=distro.name,
        layers=tuple(layers),
        inputs=disk,
        size_bytes=size_bytes,
        min_ram_mib=image.min_ram_mib,
        epoch=inputs.packages.epoch,
        form=form,
        compress=compress,
        identity=identity,
        root_uuid=derived_uuid(identity, "root"),
        disk_uuid=derived_uuid(identity, "disk"),
        hash_seed=derived_uuid(identity, "hash seed"),
        properties=image.properties,
    )


def layer_elements(role: Role, distro: Distro) -> list[tuple[str, tuple[str, ...]]]:
    """Name and elements of each layer, parent first; every run needs the distribution's element for its tools."""
    layers: list[tuple[str, tuple[str, ...]]] = [("distribution", (distro.element,))]
    layers += [(layer.name, (distro.element, *layer.elements)) for layer in role.layers]
    layers.append(("role", (distro.element, *ROLE_LAYER)))
    return layers


def layer_inputs(elements: tuple[str, ...], inputs: Inputs, role: str | None) -> dict[str, str]:
    """Everything that decides a layer beside its parent, by name."""
    decided = {f"element {name}": value for name, value in inputs.elements[elements].items()}
    decided |= {f"environment {name}": value for name, value in environment(elements, inputs).items()}
    decided |= {f"program {name}": value for name, value in inputs.programs.items() if name in LAYER_PROGRAMS}
    decided["package index"] = inputs.packages.common.index
    decided |= {f"package index of {name}": share.index for name, share in own_shares(elements, inputs).items()}
    decided["epoch"] = str(inputs.packages.epoch)
    if role is not None:
        decided["agent"] = inputs.agent
        decided["templates"] = inputs.templates[role]
        decided["role.json"] = digest_document(inputs.role_documents[role])
    return dict(sorted(decided.items()))


def environment(elements: tuple[str, ...], inputs: Inputs) -> dict[str, str]:
    """Variables for the elements of one layer; all of them decide what the layer holds."""
    found = dict(inputs.packages.common.environment)
    for share in own_shares(elements, inputs).values():
        found |= share.environment
    return found


def own_shares(elements: tuple[str, ...], inputs: Inputs) -> dict[str, Share]:
    """What only layers with certain elements are resolved against, by element."""
    return {name: share for name, share in inputs.packages.by_element.items() if name in inputs.elements[elements]}


# The rest of the programs make disks and images, not trees.
LAYER_PROGRAMS = ("diskimage-builder", "mailimg layers", "mmdebstrap")


def shared_layers(images: Sequence[ImagePlan]) -> dict[str, list[str]]:
    """Which roles use each layer: identity -> role names."""
    users: dict[str, list[str]] = {}
    for image in images:
        for layer in image.layers:
            users.setdefault(layer.identity, []).append(image.role)
    return users
