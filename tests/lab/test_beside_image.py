"""What a build leaves beside its image, and what the commands that read it make of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builder_site import HOOK, Site, run
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mailimg import manifest, sbom

pytestmark = pytest.mark.lab

IMAGE = "tiny-debian-12.qcow2"


@pytest.fixture(scope="module")
def image(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site.hooks({"install.d/50-tiny-grows": HOOK + "head -c 20M /dev/urandom > /usr/grown\n"})
    output = tmp_path_factory.mktemp("output")
    answer = site.build(output)
    assert answer.returncode == 0, answer.stderr
    return output / IMAGE


def test_bill_is_valid_and_names_every_package(site: Site, image: Path) -> None:
    text = sbom.sbom_path(image).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = manifest.read(image)
    bill = json.loads(text)
    libraries = [one for one in bill["components"] if one["type"] == "library"]
    assert len(libraries) == len(document["packages"]) > 50
    assert len({one["purl"] for one in libraries}) == len(libraries)
    assert bill["metadata"]["component"]["hashes"][0]["content"] == document["image"]["sha256"]


def test_bill_that_is_gone_comes_back_the_same(site: Site, image: Path) -> None:
    path = sbom.sbom_path(image)
    before = path.read_bytes()
    path.unlink()
    answer = site.build(image.parent)
    assert json.loads(answer.stdout)[0]["unchanged"] is True
    assert path.read_bytes() == before


def test_another_build_of_the_same_has_the_same_bill(site: Site, image: Path, tmp_path: Path) -> None:
    assert site.build(tmp_path).returncode == 0
    assert sbom.sbom_path(tmp_path / IMAGE).read_bytes() == sbom.sbom_path(image).read_bytes()
    layers = manifest.read(tmp_path / IMAGE)["layers"]
    assert [layer["reused"] for layer in layers] == [True, True, True]
    first = manifest.read(image)["layers"]
    assert [layer["seconds"] for layer in layers] == [layer["seconds"] for layer in first]
    same = run(site.command("diff", image, tmp_path / IMAGE, "--store", site.store))
    assert (same.returncode, same.stdout) == (0, "no difference\n"), same.stderr


def test_layers_tell_what_they_brought(site: Site, image: Path, tmp_path: Path) -> None:
    document = manifest.read(image)
    distribution, tiny, role = document["layers"]
    assert not tiny["reused"]
    assert not role["reused"]
    assert 19.5 < (tiny["tree_bytes"] - distribution["tree_bytes"]) / 1024**2 < 20.5
    assert [hook["hook"] for hook in tiny["hooks"]].count("50-tiny-grows") == 1
    assert tiny["seconds"] > sum(hook["seconds"] for hook in tiny["hooks"]) > 0
    assert {package["layer"] for package in document["packages"]} == {"distribution"}
    answer = run(site.command("report", image, "--output", tmp_path / "report.html"))
    assert answer.returncode == 0, answer.stderr
    assert "layer tiny: files of no package: 20 MiB" in (tmp_path / "report.html").read_text()
