"""What an image shall be in Glance, from its manifest; and which files may go there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud_world import document, glance_image

from mailimg import documents, manifest
from mailimg.cloud import describe, images, ready, source
from mailimg.cloud.images import CloudImage
from mailimg.errors import InputError
from mailimg_firstboot.steps import departure

SHIPPED = sorted((Path(__file__).resolve().parents[3] / "images").glob("*.yaml"))


def test_body() -> None:
    wanted = describe.wanted(document())
    body = wanted.body("the-id", "the mark")
    assert body == {
        "id": "the-id", "name": "smtp-in-debian-12-aaaaaaaaaaaa", "disk_format": "qcow2", "container_format": "bare",
        "min_disk": 8, "min_ram": 2048, "visibility": "private", "os_hidden": True, "tags": ["mailimg"],
        "os_type": "linux", "os_distro": "debian", "os_version": "12", "os_admin_user": "debian",
        "hw_disk_bus": "virtio", "hw_qemu_guest_agent": "no", "os_shutdown_timeout": "1560",
        "mailimg_role": "smtp-in", "mailimg_distro": "debian-12", "mailimg_identity": "a" * 64,
        "mailimg_sha256": "b" * 64, "mailimg_version": "0.1.0", "mailimg_revision": "c" * 40,
        "mailimg_verified": "nspawn qemu-bios", "mailimg_state": "uploading", "mailimg_uploader": "the mark",
    }
    assert all(isinstance(value, str) for name, value in body.items() if name not in images.BASE)


def test_without_a_revision_there_is_no_such_property() -> None:
    given = document()
    given["cloud"]["revision"] = None
    assert images.REVISION not in describe.wanted(given).body("i", "m")


def test_whether_its_agent_asks_heat() -> None:
    given = document()
    assert images.HEAT not in describe.wanted(given).body("i", "m"), "of an image from before"
    given["cloud"]["heat"] = True
    assert describe.wanted(given).body("i", "m")[images.HEAT] == "yes"


def test_a_disk_that_is_not_whole_gibibytes_needs_one_more() -> None:
    given = document()
    given["image"]["virtual_bytes"] += 1
    assert describe.wanted(given).min_disk == 9


@pytest.mark.parametrize(("verify", "proofs", "failures"), [
    (None, [], []),
    ({}, [], []),
    ({"nspawn": {"ok": True}}, ["nspawn"], []),
    ({"nspawn": {"ok": True}, "qemu-bios": {"ok": False, "checks": [{"name": "boot", "ok": False}]}}, [],
     ["qemu-bios: boot"]),
    ({"nspawn": {"ok": False, "checks": []}}, [], ["nspawn: no check"]),
    # Only `true` is true.
    ({"nspawn": {"ok": "yes"}}, [], ["nspawn: no check"]),
])
def test_verified_means_that_nothing_failed(verify: Any, proofs: list[str], failures: list[str]) -> None:
    given = {"verify": verify}
    assert (describe.proofs(given), describe.failures(given)) == (proofs, failures)


def test_differences_are_of_what_mailimg_sets() -> None:
    wanted = describe.wanted(document())
    whole = glance_image(wanted)
    assert wanted.differences(whole) == {}
    changed = glance_image(wanted, min_ram=64, hw_disk_bus="ide", os_version=None, somebody_elses="x",
                           mailimg_revision="of another build")
    assert wanted.differences(changed) == {"min_ram": (64, 2048), "hw_disk_bus": ("ide", "virtio"),
                                           "os_version": (None, "12")}


def test_an_image_gets_back_what_it_is_known_by() -> None:
    """Else it is "there already, nothing to do", and `stack apply` says that it is too old, or of another role."""
    given = document()
    given["cloud"]["heat"] = True
    wanted = describe.wanted(given)
    changed = glance_image(wanted, mailimg_role="nfs", mailimg_distro=None, mailimg_heat="no")
    assert wanted.differences(changed) == {"mailimg_role": ("nfs", "smtp-in"), "mailimg_distro": (None, "debian-12"),
                                           "mailimg_heat": ("no", "yes")}
    # Of an image whose manifest does not say so, nothing is claimed.
    before = describe.wanted(document())
    assert before.differences(glance_image(before, mailimg_heat="yes", mailimg_version="0.0.1")) == {}


def test_an_untested_file_takes_no_proof_from_an_image_that_is_there() -> None:
    tested, untested = describe.wanted(document()), describe.wanted({**document(), "verify": None})
    assert untested.differences(glance_image(tested)) == {}
    assert tested.differences(glance_image(untested)) == {images.VERIFIED: ("untested", "nspawn qemu-bios")}


def test_an_image_as_glance_shows_it() -> None:
    found = CloudImage.from_glance({
        "id": "1", "name": None, "status": "queued", "owner": None, "size": None, "os_hidden": False, "tags": [],
        "created_at": "2026-11-22T20:10:31Z", "mailimg_role": "nfs", "stores": "fs",
        "mailimg_channel_stable": "7", "mailimg_channel_a": "-1", "mailimg_channel_b": "x",
    })  # fmt: skip
    assert (found.name, found.size, found.hash_value, found.role, found.state) == ("", 0, "", "nfs", "")
    assert found.tickets == {"stable": 7}
    assert "stores" not in found.properties


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file that its manifest describes, as far as that is looked at without reading all of it."""
    path = tmp_path / "smtp-in-debian-12.qcow2"
    path.write_bytes(b"QFI\xfbxyz")
    manifest.write(path, {**document(), "image": {**document()["image"], "bytes": 7}})
    return path


def test_ready(image: Path) -> None:
    (job,) = ready.jobs([image, image], untested=False)
    assert (job.image, job.warnings) == (image, ())


def test_proved_in_a_container_only_is_told(image: Path) -> None:
    manifest.write(image, {**manifest.read(image), "verify": {"nspawn": {"ok": True}}})
    (job,) = ready.jobs([image], untested=False)
    assert job.warnings == (f"{image}: verified in a container only: kernel, boot loader and disk were not",)


def test_images_of_a_folder(image: Path) -> None:
    assert ready.in_folder(image.parent) == [image]
    image.unlink()
    with pytest.raises(InputError, match="there is no such image, only its manifest"):
        ready.jobs(ready.in_folder(image.parent), untested=False)
    manifest.manifest_path(image).unlink()
    with pytest.raises(InputError, match="there is no image in it"):
        ready.in_folder(image.parent)


def test_hashes_are_those_of_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * (5 * source.CHUNK) + b"b")
    assert source.hashes(path) == {name: hashlib.new(name, path.read_bytes()).hexdigest() for name in source.HASHES}


@pytest.mark.parametrize(("properties", "words"), [
    ({"mailimg_role": "x"}, "'mailimg_role' does not match"),
    ({"os_distro": "x"}, "'os_distro' does not match"),
    ({"Hw_disk": "x"}, "'Hw_disk' does not match"),
    ({"hw_disk_bus": "floppy"}, "'floppy' is not one of"),
    ({"hw_qemu_guest_agent": "yes"}, "'yes' is not of type 'boolean'"),
    ({"os_shutdown_timeout": 30}, "30 is less than the minimum of 60"),
    ({"hw_vif_model": ""}, "properties.hw_vif_model"),
    ({"hw_machine_type": [1]}, "[1] is not of type 'string', 'integer', 'boolean'"),
])
def test_properties_that_cannot_be(properties: dict[str, Any], words: str) -> None:
    given = {"schema": 1, "role": "r", "disk_gib": 2, "min_ram_mib": 256, "properties": properties}
    (problem,) = documents.check(given, "image", "images/r.yaml")
    assert words in problem


@pytest.mark.parametrize("properties", [
    {"hw_machine_type": "q35", "trait:custom": "required", "os_require_quiesce": True, "hw_numa_nodes": 2},
    {"os_secure_boot": "optional"}, {},
])
def test_properties_that_can_be(properties: dict[str, Any]) -> None:
    given = {"schema": 1, "role": "r", "disk_gib": 2, "min_ram_mib": 256, "properties": properties}
    assert documents.check(given, "image", "images/r.yaml") == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_nova_waits_for_as_long_as_leaving_may_take(path: Path) -> None:
    """What the agent's own unit waits for, with the defaults of the site document."""
    schema = json.loads((path.parents[1] / "firstboot/mailimg_firstboot/site.schema.json").read_text())
    times = schema["properties"]["leave"]["properties"]
    pools = schema["properties"]["balancer"]["properties"]["deadline"]["default"]
    assert pools == departure.POOLS
    needed = sum(times[name]["default"] for name in ("deadline", "flush", "handover")) + 2 * pools + departure.SPARE
    properties = yaml.safe_load(path.read_text())["properties"]
    assert properties["os_shutdown_timeout"] == needed
    assert (properties["hw_disk_bus"], properties["hw_rng_model"]) == ("virtio", "virtio")
