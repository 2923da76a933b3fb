"""An image in Glance, as a value, and the properties by which mailimg knows its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Every image of ours carries it: Glance can be asked for one tag, not for "has such a property".
TAG = "mailimg"

ROLE, DISTRO, IDENTITY = "mailimg_role", "mailimg_distro", "mailimg_identity"
SHA256, VERIFIED, REVISION, VERSION = "mailimg_sha256", "mailimg_verified", "mailimg_revision", "mailimg_version"
# `yes`: the agent in it knows `leave.heat`, which a stack needs.
HEAT = "mailimg_heat"
# `uploading` until Glance's checksum was compared; then `ready`; `old` when another took its place in its last channel;
# `retired` by order.
STATE = "mailimg_state"
UPLOADING, READY, OLD, RETIRED = "uploading", "ready", "old", "retired"
# Who uploads it, while it is uploaded: `uploader.Mark`.
UPLOADER = "mailimg_uploader"
# `mailimg_channel_stable` holds the image's ticket: of those of a role, the highest is the current image.
CHANNEL = "mailimg_channel_"

UNTESTED = "untested"
# Glance's status of an image that is gone. If its database fails in between, the image is still listed, for ever.
GONE = "deleted"

# What Glance itself says of an image; whatever else is in its answer is a property.
BASE = {
    "id", "name", "status", "owner", "visibility", "os_hidden", "protected", "size", "virtual_size", "checksum",
    "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "disk_format", "container_format", "created_at",
    "updated_at", "tags", "self", "file", "schema", "locations", "direct_url", "stores", "deleted", "deleted_at",
}


@dataclass(frozen=True)
class CloudImage:
    """One image as Glance shows it.

    Args:
        status: Glance's: `queued`, `saving`, `active`, `deactivated`, ...
        owner: id of the project.
        hash_algorithm: what `hash_value` was made with; both empty before there is data.
        min_disk: GiB.
        min_ram: MiB.
        created: as Glance writes it, `2026-11-22T20:10:31Z`.
        properties: all that are not Glance's own.
    """

    id: str
    name: str
    status: str
    owner: str
    visibility: str
    hidden: bool
    size: int
    hash_algorithm: str
    hash_value: str
    min_disk: int
    min_ram: int
    created: str
    properties: Mapping[str, str]

    @classmethod
    def from_glance(cls, found: Mapping[str, Any]) -> CloudImage:
        """From an answer of the images API, version 2."""
        return cls(
            id=found["id"], name=found.get("name") or "", status=found["status"], owner=found.get("owner") or "",
            visibility=found.get("visibility") or "", hidden=bool(found.get("os_hidden")), size=found.get("size") or 0,
            hash_algorithm=found.get("os_hash_algo") or "", hash_value=found.get("os_hash_value") or "",
            min_disk=found.get("min_disk") or 0, min_ram=found.get("min_ram") or 0, created=found["created_at"],
            properties={name: value for name, value in found.items() if name not in BASE and isinstance(value, str)},
        )

    @property
    def role(self) -> str:
        """The role that it boots into."""
        return self.properties.get(ROLE, "")

    @property
    def distro(self) -> str:
        """The distribution inside."""
        return self.properties.get(DISTRO, "")

    @property
    def identity(self) -> str:
        """Of the image file: 64 hex digits."""
        return self.properties.get(IDENTITY, "")

    @property
    def state(self) -> str:
        """One of UPLOADING, READY, OLD, RETIRED."""
        return self.properties.get(STATE, "")

    @property
    def tickets(self) -> dict[str, int]:
        """By channel; what somebody else wrote there counts as none."""
        return {name[len(CHANNEL):]: int(value) for name, value in self.properties.items()
                if name.startswith(CHANNEL) and value.isascii() and value.isdigit()}

    @property
    def shown(self) -> str:
        """For messages."""
        return f"{self.name} ({self.id})"


def current(images: Iterable[CloudImage], role: str, channel: str) -> CloudImage | None:
    """The image that a role's new servers boot from, or None while the channel has none.

    Exactly one at every moment, also while two people promote: the highest ticket, of equal ones the higher id.
    """
    inside = [image for image in images if image.role == role and channel in image.tickets]
    return max(inside, key=lambda image: (image.tickets[channel], image.id), default=None)


def channels(images: Iterable[CloudImage]) -> list[tuple[str, str]]:
    """All (role, channel) that have an image."""
    return sorted({(image.role, channel) for image in images for channel in image.tickets})


def current_in(image: CloudImage, images: Iterable[CloudImage]) -> list[str]:
    """The channels whose current image this is."""
    known = list(images)
    found = {channel: current(known, image.role, channel) for channel in sorted(image.tickets)}
    return [channel for channel, one in found.items() if one is not None and one.id == image.id]
