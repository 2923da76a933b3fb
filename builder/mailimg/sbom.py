"""The bill of materials beside an image: CycloneDX 1.6, a pure function of the manifest.

The same image has the same text everywhere: its serial number follows from the image's identity, its date is the
plan's, and whatever differs from build to build (times, what was verified) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from mailimg import whole
from mailimg.errors import InputError
from mailimg.identity import derived_uuid

# Package URL type by package manager (the specification of package URLs, types deb and rpm).
PURL_TYPES = {"apt": "deb", "yum": "rpm", "dnf": "rpm"}


def sbom_path(image: Path) -> Path:
    """Where an image's bill of materials lies."""
    return image.with_name(f"{image.name}.cdx.json")


def describe(manifest: Mapping[str, Any]) -> str:
    """The bill of materials of the image that a manifest describes.

    Raises:
        InputError: its package manager is none whose packages have a URL.
    """
    image = described_image(manifest)
    system = Component(
        name=manifest["os"]["distro"],
        version=manifest["os"]["version"],
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref=f"os:{manifest['os']['distro']}-{manifest['os']['version']}",
    )
    components = [system, *(described_package(package, manifest) for package in manifest["packages"])]
    builder = Component(name="mailimg", version=manifest["version"], type=ComponentType.APPLICATION, bom_ref="mailimg")
    metadata = BomMetaData(component=image, timestamp=datetime.fromtimestamp(manifest["epoch"], UTC))
    metadata.tools.components.add(builder)
    bom = Bom(
        serial_number=UUID(derived_uuid(manifest["identity"], "sbom")),
        components=components,
        metadata=metadata,
    )
    bom.register_dependency(image, components)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=2, sort_keys=True) + "\n"


def described_image(manifest: Mapping[str, Any]) -> Component:
    """The image: what the bill is about."""
    facts = {
        "identity": manifest["identity"],
        "role": manifest["role"],
        "distro": manifest["distro"],
        "format": manifest["image"]["format"],
        **{f"layer:{number}:{layer['name']}": layer["identity"] for number, layer in enumerate(manifest["layers"])},
    }
    return Component(
        name=manifest["image"]["file"],
        version=manifest["identity"][:12],
        # "Isolates software inside from software outside through virtualization": the specification's nearest word.
        type=ComponentType.CONTAINER,
        bom_ref=f"image:{manifest['identity']}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=manifest["image"]["sha256"])],
        properties=properties(facts),
    )


def described_package(package: Mapping[str, Any], manifest: Mapping[str, Any]) -> Component:
    """One package of the operating system."""
    url = package_url(package, manifest)
    facts = {
        "architecture": package["architecture"],
        "source": package["source"],
        "source-version": package["source_version"],
        "installed-kib": str(package["size_kib"]),
        "layer": package["layer"],
    }
    return Component(
        name=url.name,
        version=package["version"],
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
        properties=properties(facts),
    )


def package_url(package: Mapping[str, Any], manifest: Mapping[str, Any]) -> PackageURL:
    """A package's URL; `upstream` names its source package, since that is what security advisories name.

    Raises:
        InputError: no type of URL is known for the manifest's package manager.
    """
    manager = manifest["package_manager"]
    kind = PURL_TYPES.get(manager)
    if kind is None:
        raise InputError([f"package manager {manager!r}: no package URL type is known for it"])
    # dpkg adds the architecture to the names of libraries that may be there for several.
    name, version = package["name"].partition(":")[0], package["version"]
    qualifiers = {"arch": package["architecture"], "distro": manifest["distro"]}
    if kind == "rpm" and ":" in version:
        qualifiers["epoch"], _, version = version.partition(":")
    source, source_version = package["source"], package["source_version"]
    if source_version != package["version"]:
        qualifiers["upstream"] = f"{source}@{source_version}"
    elif source != name:
        qualifiers["upstream"] = source
    return PackageURL(kind, manifest["os"]["distro"], name, version, qualifiers)


def properties(facts: Mapping[str, str]) -> list[Property]:
    """Facts that CycloneDX has no field for, in our own name space."""
    return [Property(name=f"mailimg:{name}", value=value) for name, value in facts.items()]


def write(image: Path, manifest: Mapping[str, Any]) -> None:
    """Write the bill of materials beside the image, whole or not at all."""
    text = describe(manifest)
    with whole.written(sbom_path(image)) as stream:
        stream.write(text)
