"""The bill of materials: valid, complete, the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mailimg import build, manifest, sbom
from mailimg.errors import InputError


def package(name: str, version: str, **more: Any) -> dict[str, Any]:
    facts = {"architecture": "amd64", "source": name, "source_version": version, "size_kib": 10, "layer": "mta"}
    return {"name": name, "version": version, **facts, **more}


@pytest.fixture
def document() -> dict[str, Any]:
    """A manifest, as far as the bill reads it."""
    return {
        "role": "mx",
        "distro": "debian-12",
        "os": {"distro": "debian", "version": "12"},
        "identity": "ab" * 32,
        "epoch": 1700000000,
        "version": "0.1.0",
        "image": {"file": "mx-debian-12.qcow2", "format": "qcow2", "sha256": "cd" * 32},
        "layers": [{"name": "distribution", "identity": "1" * 64}, {"name": "mta", "identity": "2" * 64}],
        "package_manager": "apt",
        "packages": [
            package("postfix", "3.7.11-0+deb12u1"),
            package("libc6:amd64", "2.36-9+deb12u10", source="glibc"),
            package("g++", "4:12.2.0-3", source="gcc-defaults", source_version="1.203", architecture="all"),
        ],
        "seconds": {"layers": 1.0},
        "verify": None,
    }


def components(text: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads(text)["components"]}


def facts(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in component["properties"]}


def test_the_schema_holds(document: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = sbom.describe(document)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"SHA-256"', '"SHA-257"')) is not None, "the validator finds nothing"


def test_the_image_is_what_the_bill_is_about(document: dict[str, Any]) -> None:
    bill = json.loads(sbom.describe(document))
    image = bill["metadata"]["component"]
    assert image["name"] == "mx-debian-12.qcow2"
    assert image["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert facts(image)["mailimg:layer:1:mta"] == "2" * 64
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    depends = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert len(depends[image["bom-ref"]]) == 4, "three packages and the system"


def test_packages(document: dict[str, Any]) -> None:
    found = components(sbom.describe(document))
    assert set(found) == {"debian", "postfix", "libc6", "g++"}
    assert found["debian"]["type"] == "operating-system"
    assert found["postfix"]["purl"] == "pkg:deb/debian/postfix@3.7.11-0%2Bdeb12u1?arch=amd64&distro=debian-12"
    assert "upstream=glibc" in found["libc6"]["purl"]
    assert found["g++"]["version"] == "4:12.2.0-3"
    assert found["g++"]["purl"].startswith("pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=all&")
    assert "upstream=gcc-defaults%401.203" in found["g++"]["purl"]
    assert facts(found["libc6"]) == {
        "mailimg:architecture": "amd64",
        "mailimg:source": "glibc",
        "mailimg:source-version": "2.36-9+deb12u10",
        "mailimg:installed-kib": "10",
        "mailimg:layer": "mta",
    }


def test_rpm_keeps_the_epoch_apart(document: dict[str, Any]) -> None:
    document |= {"package_manager": "yum", "os": {"distro": "centos", "version": "7"}, "distro": "centos-7"}
    document["packages"] = [package("postfix", "2:2.10.1-9.el7", architecture="x86_64")]
    url = components(sbom.describe(document))["postfix"]["purl"]
    assert url == "pkg:rpm/centos/postfix@2.10.1-9.el7?arch=x86_64&distro=centos-7&epoch=2"


def test_unknown_package_manager(document: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="package manager 'pacman': no package URL type is known for it"):
        sbom.describe({**document, "package_manager": "pacman"})


def test_the_same_image_has_the_same_text(document: dict[str, Any]) -> None:
    """Order of the packages, times and what was verified decide nothing; identity does."""
    text = sbom.describe(document)
    other = {**document, "packages": document["packages"][::-1], "seconds": {"layers": 9.0}, "verify": {"qemu": {}}}
    assert sbom.describe(other) == text
    changed = json.loads(sbom.describe({**document, "identity": "ef" * 32}))
    assert changed["serialNumber"] != json.loads(text)["serialNumber"]


def test_an_image_never_has_the_bill_of_another(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off anywhere while a new image takes the old one's place: what lies beside it is the right one, or absent."""
    replace = Path.replace
    for allowed in range(4):
        work, out = tmp_path / f"work{allowed}", tmp_path / f"out{allowed}"
        for folder, mark in ((work, "new"), (out, "old")):
            folder.mkdir()
            image = folder / "mx.qcow2"
            image.write_text(mark)
            manifest.manifest_path(image).write_text(mark)
            sbom.sbom_path(image).write_text(mark)
        left = [None] * allowed

        def cut(path: Path, target: Path, left: list[None] = left) -> Path:
            if not left:
                raise KeyboardInterrupt
            left.pop()
            return replace(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", cut)
            try:
                build.publish(work / "mx.qcow2", out / "mx.qcow2")
            except KeyboardInterrupt:
                assert allowed < 3
        image = out / "mx.qcow2"
        beside = {path.read_text() for path in (manifest.manifest_path(image), sbom.sbom_path(image)) if path.exists()}
        assert beside <= {image.read_text()}
