"""The manifest beside an image, and whether an image is the one that a plan would make."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from world import SOURCES

from mailimg import build, gather, manifest
from mailimg.commands import verify
from mailimg.errors import InputError, StepError
from mailimg.identity import digest
from mailimg.packages import Package
from mailimg.plan import ImagePlan
from mailimg.resources import Resources
from mailimg.store import Store
from mailimg.verify import CheckResult, VerifyResult

CLOUD = {"min_ram_mib": 2048, "properties": {"hw_disk_bus": "virtio"}, "revision": "c" * 40}
PASSED = VerifyResult("mx", "nspawn", {}, (CheckResult("boot", True, 1.0, ""),))


@pytest.fixture
def plan(world: Resources) -> ImagePlan:
    pairs, distro = gather.load(world, ["mx"], "small-1")
    inputs = gather.measure(world, pairs, distro, SOURCES, index=False)
    return gather.plans(pairs, distro, inputs, form="qcow2", compress="zlib")[0]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "mx-small-1.qcow2"
    path.write_bytes(b"image")
    return path


def describe(plan: ImagePlan, image: Path) -> dict[str, Any]:
    return manifest.describe(
        plan,
        image,
        packages=[Package("postal", "1", "amd64", "postal-src", "1", 10)],
        package_manager="apt",
        origins={"postal": "mx"},
        layer_facts=[{"reused": True, "tree_bytes": size, "seconds": 1.5, "hooks": []} for size in (1, 3, 4, 5)],
        contract={"role": "mx", "listeners": [25]},
        cloud=CLOUD,
        os_facts={"distro": "small", "version": "1"},
        seconds={"layers": 1.23456},
        version="0.1",
    )


def test_document(plan: ImagePlan, image: Path) -> None:
    document = describe(plan, image)
    assert document["image"] == {
        "file": "mx-small-1.qcow2",
        "format": "qcow2",
        "compress": "zlib",
        "bytes": 5,
        "virtual_bytes": 8 * 1024**3,
        "tree_bytes": 5,
        "sha256": digest(b"image"),
    }
    assert document["identity"] == plan.identity
    assert [layer["name"] for layer in document["layers"]] == ["distribution", "base", "mx", "role"]
    assert document["layers"][-1]["identity"] == plan.layers[-1].identity
    assert document["layers"][0]["inputs"]["program mmdebstrap"] == "mmdebstrap 1"
    assert [layer["tree_bytes"] for layer in document["layers"]] == [1, 3, 4, 5]
    assert document["layers"][1]["reused"]
    assert document["packages"][0]["source"] == "postal-src"
    assert document["packages"][0]["layer"] == "mx"
    assert document["epoch"] == plan.epoch
    assert document["seconds"] == {"layers": 1.23}
    assert document["verify"] is None
    assert document["cloud"] == CLOUD


def test_written_and_read_back(plan: ImagePlan, image: Path) -> None:
    document = describe(plan, image)
    manifest.write(image, document)
    assert manifest.read(image) == document
    assert sorted(path.name for path in image.parent.iterdir() if path.is_file()) == [
        "mx-small-1.qcow2",
        "mx-small-1.qcow2.manifest.json",
    ]


def test_interrupted_write_keeps_the_old_one(plan: ImagePlan, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = describe(plan, image)
    manifest.write(image, document)

    def cut(*_args: object, **_words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(json, "dump", cut)
        with pytest.raises(KeyboardInterrupt):
            manifest.write(image, {**document, "identity": "other"})
    assert manifest.read(image) == document
    assert len([path for path in image.parent.iterdir() if path.is_file()]) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "has no manifest mx-small-1.qcow2.manifest.json beside it"),
        ("{", "cannot be read: "),
        ("[]", "is no manifest of schema 2"),
        ('{"schema": 1}', "is no manifest of schema 2"),
    ],
)
def test_unusable_manifest(image: Path, text: str | None, problem: str) -> None:
    if text is not None:
        manifest.manifest_path(image).write_text(text)
    with pytest.raises(InputError) as caught:
        manifest.read(image)
    assert problem in caught.value.problems[0]
    assert caught.value.hint


def test_same_image(plan: ImagePlan, image: Path) -> None:
    assert build.same_image(plan, image) is None
    manifest.write(image, describe(plan, image))
    assert build.same_image(plan, image) == manifest.read(image)
    assert build.same_image(dataclasses.replace(plan, identity="f" * 64), image) is None
    assert build.same_image(plan, image.with_name("another.qcow2")) is None


@pytest.mark.parametrize("content", [b"imagf", b"imag", b"", b"image and more"])
def test_image_that_is_not_what_its_manifest_says_is_not_trusted(plan: ImagePlan, image: Path, content: bytes) -> None:
    manifest.write(image, describe(plan, image))
    image.write_bytes(content)
    assert build.same_image(plan, image) is None


def test_space_is_checked_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    monkeypatch.setattr(build, "NEED_STORE_BYTES", 0)
    monkeypatch.setattr(build, "NEED_OUTPUT_BYTES", 0)
    build.check_space(store, tmp_path)
    monkeypatch.setattr(build, "NEED_OUTPUT_BYTES", 2**60)
    with pytest.raises(StepError, match=f"^{tmp_path}: [0-9.]+ GiB free, a build needs 1073741824 GiB$") as caught:
        build.check_space(store, tmp_path)
    assert "mailimg clean" in caught.value.hint
    monkeypatch.setattr(build, "NEED_STORE_BYTES", 2**60)
    with pytest.raises(StepError, match=f"^{tmp_path}/store: "):
        build.check_space(store, tmp_path)


def test_output_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StepError, match=f"^make the output folder: Not a directory: {tmp_path}/file/out$"):
        build.make_output(tmp_path / "file" / "out")


def test_what_was_verified_is_recorded_beside_the_identity(plan: ImagePlan, image: Path) -> None:
    before = describe(plan, image)
    manifest.write(image, before)
    sha256 = before["image"]["sha256"]
    verify.record(image, sha256, "nspawn", PASSED)
    verify.record(image, sha256, "qemu-bios", PASSED)
    after = manifest.read(image)
    assert {way: result["ok"] for way, result in after["verify"].items()} == {"nspawn": True, "qemu-bios": True}
    assert {**after, "verify": None} == before
    assert build.same_image(plan, image) == after


def test_verifications_that_end_together_lose_no_result(plan: ImagePlan, image: Path) -> None:
    manifest.write(image, describe(plan, image))
    sha256 = manifest.read(image)["image"]["sha256"]
    ways = [f"way-{number}" for number in range(16)]
    with ThreadPoolExecutor(len(ways)) as pool:
        list(pool.map(lambda way: verify.record(image, sha256, way, PASSED), ways))
    assert sorted(manifest.read(image)["verify"]) == sorted(ways)


def test_a_result_is_not_recorded_for_another_image(plan: ImagePlan, image: Path) -> None:
    """Somebody built anew while the verification ran."""
    manifest.write(image, describe(plan, image))
    image.write_bytes(b"another")
    now = describe(plan, image)
    manifest.write(image, now)
    with pytest.raises(StepError, match="was replaced meanwhile"):
        verify.record(image, digest(b"image"), "nspawn", PASSED)
    assert manifest.read(image) == now


def test_an_image_that_stays_gets_what_decides_none_of_its_bytes(plan: ImagePlan, image: Path) -> None:
    contract = {"role": "mx", "listeners": [25]}
    old = {**describe(plan, image), "verify": {"nspawn": {"ok": True}}}
    assert build.refreshed(old, contract, CLOUD) == old
    more = {**CLOUD, "properties": {"hw_disk_bus": "scsi"}}
    assert build.refreshed(old, contract, more) == {**old, "cloud": more}
    # Another contract would be tested now.
    assert build.refreshed(old, {"role": "mx"}, CLOUD) == {**old, "contract": {"role": "mx"}, "verify": None}
    # Manifests of earlier versions.
    assert build.refreshed({name: value for name, value in old.items() if name != "cloud"}, contract, CLOUD) == old


@pytest.mark.parametrize(("known", "now", "kept"), [
    ("a", "b", "a"), ("a", None, "a"), ("a-dirty", "b", "b"), ("a-dirty", None, "a-dirty"), (None, "b", "b"),
    ("a-dirty", "b-dirty", "b-dirty"), (None, None, None),
])
def test_the_revision_that_built_it(known: str | None, now: str | None, kept: str | None) -> None:
    present = {"contract": {}, "cloud": {**CLOUD, "revision": known}}
    assert build.refreshed(present, {}, {**CLOUD, "revision": now})["cloud"]["revision"] == kept
