"""Images into a real Glance: once, checked, with the properties that they need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builder_site import IMAGE, Site
from glance_site import FAILED, MIB, PASSED, Operator, configured, describe, frozen, make_image, sending

from mailimg import manifest
from mailimg.commands import verify
from mailimg.verify import CheckResult, VerifyResult

pytestmark = pytest.mark.lab


def test_an_image_that_was_built_and_verified(site: Site, operator: Operator, tmp_path: Path) -> None:
    """From the builder's own manifest to Glance and back: the same bytes."""
    site.hooks({})
    description = site.folder / "images" / "tiny.yaml"
    description.write_text(IMAGE.replace("}", ", properties: {hw_disk_bus: scsi, os_shutdown_timeout: 90}}"))
    answer = site.build(tmp_path)
    description.write_text(IMAGE)
    assert answer.returncode == 0, answer.stderr
    image = tmp_path / "tiny-debian-12.qcow2"
    refused = operator.run("upload", image)
    assert (refused.returncode, refused.stderr) == (
        2, f"error: {image}: was never verified\nRun `mailimg verify IMAGE`, or say --untested.\n")
    document = manifest.read(image)
    verify.record(image, document["image"]["sha256"], "qemu-bios",
                  VerifyResult("tiny", "qemu/tcg/bios", {}, (CheckResult("agent", True, 1.0, "ready"),)))

    one = operator.upload(image)
    assert (one["result"], one["role"], one["identity"]) == ("uploaded", "tiny", document["identity"])
    (found,) = operator.raw().values()
    assert {name: found[name] for name in (
        "name", "status", "visibility", "os_hidden", "disk_format", "container_format", "min_disk", "min_ram", "size",
        "tags",
    )} == {
        "name": f"tiny-debian-12-{document['identity'][:12]}", "status": "active", "visibility": "private",
        "os_hidden": False, "disk_format": "qcow2", "container_format": "bare", "min_disk": 2, "min_ram": 256,
        "size": image.stat().st_size, "tags": ["mailimg"],
    }  # fmt: skip
    assert {name: value for name, value in found.items() if name.startswith(("os_", "hw_", "mailimg_"))
            and name not in ("os_hash_algo", "os_hash_value", "os_hidden")} == {
        "os_type": "linux", "os_distro": "debian", "os_version": "12", "os_admin_user": "debian", "hw_disk_bus": "scsi",
        "os_shutdown_timeout": "90", "mailimg_role": "tiny", "mailimg_distro": "debian-12",
        "mailimg_identity": document["identity"], "mailimg_sha256": document["image"]["sha256"],
        "mailimg_version": document["version"], "mailimg_verified": "qemu-bios", "mailimg_state": "ready",
        "mailimg_heat": "yes",
    }  # fmt: skip
    back = operator.project.me.request("image", "GET", f"/v2/images/{one['id']}/file").content
    assert back == image.read_bytes()
    assert operator.states() == {one["id"]: "ready"}


def test_the_same_again_is_nothing_to_do(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out")
    first = operator.upload(image)
    # Not even the file is read: it may lie on a slow disk.
    again = operator.run("upload", image)
    assert again.stdout == f"{first['name']}  {first['id']}  there already, nothing to do\n"
    assert "reading" not in again.stderr
    copy = tmp_path / "copy" / image.name
    copy.parent.mkdir()
    for path in (image, manifest.manifest_path(image)):
        (copy.parent / path.name).write_bytes(path.read_bytes())
    both = json.loads(operator.good("upload", image, copy, "--json"))
    assert [one["result"] for one in both] == ["present"]
    assert list(operator.raw()) == [first["id"]]


def test_all_of_a_folder_side_by_side(operator: Operator, tmp_path: Path) -> None:
    images = [make_image(tmp_path / "images" / "out", role, mib=8) for role in ("smtp-in", "smtp-out", "sogo", "nfs")]
    found = json.loads(operator.good("upload", "--all", "--json"))
    assert sorted(Path(one["file"]).name for one in found) == sorted(image.name for image in images)
    assert {one["status"] for one in operator.raw().values()} == {"active"}
    assert set(operator.states().values()) == {"ready"}


def test_two_who_upload_the_same_at_once_make_one_image(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out", mib=24)
    commands = [operator.start("upload", image) for _ in range(4)]
    ends = [command.communicate(timeout=120) for command in commands]
    codes = sorted(command.returncode for command in commands)
    assert codes[0] == 0, ends
    assert len(operator.raw()) == 1
    assert list(operator.states().values()) == ["ready"]
    for command, (_, words) in zip(commands, ends, strict=True):
        if command.returncode:
            assert "uploads it since" in words
            assert "Wait for its end and run this again" in words


def test_what_another_tool_changed_is_put_right(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out")
    one = operator.upload(image)
    operator.patch(one["id"], {"op": "replace", "path": "/min_ram", "value": 64},
                   {"op": "replace", "path": "/hw_disk_bus", "value": "ide"},
                   {"op": "remove", "path": "/os_shutdown_timeout"},
                   {"op": "replace", "path": "/mailimg_role", "value": "nfs"},
                   {"op": "add", "path": "/somebody_elses", "value": "stays"})
    said = operator.good("upload", image)
    assert said.splitlines() == [
        f"{one['name']}  {one['id']}  there already, properties set",
        "  hw_disk_bus: ide -> virtio", "  mailimg_role: nfs -> smtp-in", "  min_ram: 64 -> 512",
        "  os_shutdown_timeout: nothing -> 1560",
    ]
    found = operator.raw()[one["id"]]
    assert (found["min_ram"], found["hw_disk_bus"], found["os_shutdown_timeout"]) == (512, "virtio", "1560")
    assert found["mailimg_role"] == "smtp-in"
    assert found["somebody_elses"] == "stays"
    assert operator.upload(image)["result"] == "present"


def test_an_image_whose_tag_was_taken_is_said(operator: Operator, tmp_path: Path) -> None:
    """No list of ours shows it; its id does."""
    image = make_image(tmp_path / "out")
    one = operator.upload(image)
    operator.patch(one["id"], {"op": "replace", "path": "/tags", "value": []})
    done = operator.run("upload", image)
    assert done.returncode == 1
    assert f"the image {one['id']} is there, but somebody took its tag 'mailimg'" in done.stderr
    assert f"`openstack image set --tag mailimg {one['id']}`" in done.stderr
    operator.patch(one["id"], {"op": "replace", "path": "/tags", "value": ["mailimg"]})
    assert operator.upload(image)["result"] == "present"


def test_an_image_that_was_deactivated_is_no_success(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out")
    one = operator.upload(image)
    operator.project.me.request("image", "POST", f"/v2/images/{one['id']}/actions/deactivate")
    done = operator.run("upload", image)
    assert done.returncode == 1
    assert f"the image {one['id']} is there, but deactivated" in done.stderr
    assert f"`openstack image set --activate {one['id']}`" in done.stderr
    assert operator.states() == {one["id"]: "deactivated"}
    operator.project.me.request("image", "POST", f"/v2/images/{one['id']}/actions/reactivate")
    assert operator.upload(image)["result"] == "present"


def test_an_image_that_was_deleted_comes_back(operator: Operator, tmp_path: Path) -> None:
    """Glance never gives an id twice."""
    image = make_image(tmp_path / "out")
    ids = []
    for _ in range(3):
        ids.append(operator.upload(image)["id"])
        operator.clear()
    assert len(set(ids)) == 3


def test_untested_images_are_loud(operator: Operator, tmp_path: Path) -> None:
    never, wrong = (make_image(tmp_path / "out", role, verify=result)
                    for role, result in (("sogo", None), ("nfs", {**PASSED, **FAILED})))
    done = operator.run("upload", never, wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: {never}: was never verified",
        f"error: {wrong}: verification failed (nspawn: mail: clean)",
        "Run `mailimg verify IMAGE`, or say --untested.",
    ]
    assert operator.raw() == {}
    done = operator.run("upload", never, wrong, "--untested")
    assert done.returncode == 0
    assert f"warning: {never}: UNTESTED: was never verified; servers that boot it may not work" in done.stderr
    assert {one["verified"] for one in operator.listed()} == {"untested"}
    # Verified later: the image in the cloud learns of it.
    describe(never, "sogo", "debian-12", PASSED)
    assert operator.upload(never)["changed"] == {"mailimg_verified": {"before": "untested", "now": "qemu-bios"}}


def test_everything_that_is_wrong_at_once(operator: Operator, tmp_path: Path) -> None:
    out = tmp_path / "out"
    short, junk, bare, old = (make_image(out, role) for role in ("smtp-in", "smtp-out", "sogo", "nfs"))
    short.write_bytes(short.read_bytes()[:-1])
    junk.write_bytes(b"junk" + junk.read_bytes()[4:])
    manifest.manifest_path(bare).unlink()
    document = manifest.read(old)
    del document["cloud"]
    manifest.write(old, document)
    done = operator.run("upload", short, junk, bare, old, "nothing.qcow2", cloud="elsewhere")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[:6] == [
        "error: cloud elsewhere: Cloud elsewhere was not found.",
        f"error: {short}: has {short.stat().st_size} bytes: is not the file its manifest describes",
        f"error: {junk}: is no qcow2: is not the file its manifest describes",
        f"error: {bare}: has no manifest {bare.name}.manifest.json beside it",
        f"error: {old}: its manifest is of an earlier mailimg and says nothing of a cloud",
        "error: nothing.qcow2: has no manifest nothing.qcow2.manifest.json beside it",
    ]
    assert operator.raw() == {}


def test_a_file_with_other_bytes_than_its_manifest_says(operator: Operator, tmp_path: Path) -> None:
    image = make_image(tmp_path / "out")
    content = bytearray(image.read_bytes())
    content[-100] ^= 1
    image.write_bytes(content)
    done = operator.run("upload", image)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {image}: is not the file its manifest describes\nBuild it again.\n" in done.stderr
    assert operator.raw() == {}


def test_a_file_that_changes_while_it_is_sent(operator: Operator, tmp_path: Path) -> None:
    """Glance's checksum is held against what was read before: what it has now is nobody's image."""
    image = make_image(tmp_path / "out", mib=200)
    command = operator.start("upload", image)
    sending(command)
    # What the sockets hold is on its way; the end of the file is not.
    with frozen(operator.rig, "glance"), image.open("r+b") as file:
        file.seek(-MIB, 2)
        file.write(b"changed")
    said = command.communicate(timeout=120)[1]
    assert command.returncode == 1
    assert "Glance has other bytes than were read (sha512 differs)" in said
    assert (operator.raw(), operator.stored()) == ({}, [])


def test_another_checksum_of_glance_is_compared_too(operator: Operator, tmp_path: Path) -> None:
    with configured(operator.rig, "glance", "DEFAULT", "hashing_algorithm = sha384"):
        one = operator.upload(make_image(tmp_path / "out"))
        assert operator.raw()[one["id"]]["os_hash_algo"] == "sha384"



def test_an_application_credential_that_may_do_nothing_else(operator: Operator, tmp_path: Path) -> None:
    """The access rules of docs/cloud-images.md."""
    rules = [{"service": "image", "method": method, "path": path}
             for path in ("/v2/images", "/v2/images/**") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")]
    credential = operator.project.credential(rules)
    operator.entry = {"auth_type": "v3applicationcredential"}
    operator.auth = {"auth_url": operator.rig.auth_url, "application_credential_id": credential.id,
                     "application_credential_secret": credential.secret}
    image = make_image(tmp_path / "out")
    first, second = operator.upload(image), operator.upload(make_image(tmp_path / "more"))
    assert operator.upload(image)["result"] == "present"
    operator.good("promote", first["id"])
    operator.good("promote", second["id"])
    operator.good("retire", first["id"], "--ignore-unknown-servers")
    assert operator.states() == {second["id"]: "current"}
    # Where there is no Nova the reason is that; the rules would be one where there is.
    assert "in use by: " in operator.run("images").stderr
