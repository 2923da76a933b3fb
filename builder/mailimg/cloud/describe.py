"""What an image shall be like in Glance: a pure function of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailimg.cloud import images
from mailimg.cloud.images import CloudImage

GIB = 1024**3
# Characters of the identity in the name of an image: enough to tell images apart, few enough to read.
SHORT = 12
# What `promote`, `stack apply` and `roll` know an image by. Whoever changed it has made it another role's, or one that
# is too old for a stack, and uploading the same file again is how to mend that. (Another identity or checksum is
# another image; version and revision may be those of an earlier build of the same identity.)
KNOWN_BY = (images.ROLE, images.DISTRO, images.HEAT)


@dataclass(frozen=True)
class Wanted:
    """An image to be.

    Args:
        identity, sha256: 64 hex digits each.
        min_disk: GiB.
        min_ram: MiB.
        kept: properties that tell of the file and of its upload; once the image is there, only those of `KNOWN_BY` are
            put right.
        held: properties that an image that is there already gets back when somebody changed them.
    """

    name: str
    identity: str
    sha256: str
    disk_format: str
    min_disk: int
    min_ram: int
    kept: Mapping[str, str]
    held: Mapping[str, str]

    def body(self, image_id: str, uploader: str) -> dict[str, Any]:
        """What to create it with: hidden, and marked as unfinished until its data has been checked."""
        return {
            "id": image_id, "name": self.name, "disk_format": self.disk_format, "container_format": "bare",
            "min_disk": self.min_disk, "min_ram": self.min_ram, "visibility": "private", "os_hidden": True,
            "tags": [images.TAG], **self.held, **self.kept,
            images.STATE: images.UPLOADING, images.UPLOADER: uploader,
        }

    def differences(self, found: CloudImage) -> dict[str, tuple[Any, Any]]:
        """What of an image that is there is not as it shall be: name -> (as it is, as it shall be)."""
        pairs: dict[str, tuple[Any, Any]] = {"min_disk": (found.min_disk, self.min_disk),
                                             "min_ram": (found.min_ram, self.min_ram)}
        held = {**self.held, **{name: self.kept[name] for name in KNOWN_BY if name in self.kept}}
        pairs |= {name: (found.properties.get(name), value) for name, value in held.items()}
        if self.held.get(images.VERIFIED) == images.UNTESTED and found.properties.get(images.VERIFIED):
            # Another copy of the same image, verified elsewhere.
            del pairs[images.VERIFIED]
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def wanted(manifest: Mapping[str, Any]) -> Wanted:
    """What an image file becomes in Glance; `manifest` has `cloud` (images of this version do)."""
    role, distro, identity = manifest["role"], manifest["distro"], manifest["identity"]
    cloud = manifest["cloud"]
    kept = {
        images.ROLE: role, images.DISTRO: distro, images.IDENTITY: identity,
        images.SHA256: manifest["image"]["sha256"], images.VERSION: manifest["version"],
    }
    if cloud["revision"]:
        kept[images.REVISION] = cloud["revision"]
    # Of images from before there was such an agent, the manifest says nothing.
    if cloud.get("heat"):
        kept[images.HEAT] = as_text(True)
    held = {
        "os_type": "linux", "os_distro": manifest["os"]["distro"], "os_version": manifest["os"]["version"],
        "os_admin_user": manifest["contract"]["login"],
        **{name: as_text(value) for name, value in cloud["properties"].items()},
        images.VERIFIED: " ".join(proofs(manifest)) or images.UNTESTED,
    }
    return Wanted(
        name=f"{role}-{distro}-{identity[:SHORT]}", identity=identity, sha256=manifest["image"]["sha256"],
        disk_format=manifest["image"]["format"], min_disk=-(-manifest["image"]["virtual_bytes"] // GIB),
        min_ram=cloud["min_ram_mib"], kept=kept, held=held,
    )


def proofs(manifest: Mapping[str, Any]) -> list[str]:
    """How the image was verified, if it was and nothing failed: `qemu-bios`, `nspawn`; else nothing."""
    results = manifest.get("verify") or {}
    return sorted(results) if results and all(result.get("ok") is True for result in results.values()) else []


def failures(manifest: Mapping[str, Any]) -> list[str]:
    """Ways to boot in which something was not proved, each with the checks that failed."""
    results = manifest.get("verify") or {}
    return [f"{way}: {', '.join(check['name'] for check in result.get('checks', ()) if not check['ok']) or 'no check'}"
            for way, result in sorted(results.items()) if result.get("ok") is not True]


def as_text(value: object) -> str:
    """A property's value: Glance keeps texts, and Nova's documentation writes truth as yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
