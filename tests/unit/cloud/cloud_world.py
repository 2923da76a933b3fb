"""A manifest, and images as Glance would show them."""

from __future__ import annotations

from typing import Any

from mailimg.cloud import images
from mailimg.cloud.describe import Wanted
from mailimg.cloud.images import CloudImage

CREATED = "2026-11-22T20:10:31Z"


def document() -> dict[str, Any]:
    """A manifest, as far as an upload looks at it."""
    return {
        "schema": 2, "role": "smtp-in", "distro": "debian-12", "os": {"distro": "debian", "version": "12"},
        "identity": "a" * 64, "version": "0.1.0",
        "image": {"file": "x", "format": "qcow2", "bytes": 7, "virtual_bytes": 8 * 1024**3, "sha256": "b" * 64},
        "contract": {"login": "debian"},
        "cloud": {"min_ram_mib": 2048, "revision": "c" * 40, "properties": {
            "hw_disk_bus": "virtio", "hw_qemu_guest_agent": False, "os_shutdown_timeout": 1560}},
        "verify": {"qemu-bios": {"ok": True}, "nspawn": {"ok": True}},
    }  # fmt: skip


def glance_image(wanted: Wanted, **changes: Any) -> CloudImage:
    """A finished image, with some things otherwise; None takes a property away."""
    shown = {**wanted.body("1", ""), "status": "active", "owner": "p", "size": 7, "os_hidden": False,
             "created_at": CREATED, images.STATE: images.READY, **changes}
    return CloudImage.from_glance({name: value for name, value in shown.items() if value is not None})


def image(image_id: str, role: str = "smtp-in", *, hidden: bool = False, **properties: str) -> CloudImage:
    """An image by its id; `stable="5"` is a ticket of that channel, any other name a property."""
    named = {f"mailimg_{name}" if name in ("state", "uploader", "identity", "sha256", "verified")
             else f"{images.CHANNEL}{name}": value for name, value in properties.items()}
    return CloudImage.from_glance({
        "id": image_id, "name": f"name-{image_id}", "status": "active", "owner": "p", "visibility": "private",
        "os_hidden": hidden, "created_at": CREATED, images.ROLE: role, images.STATE: images.READY, **named,
    })  # fmt: skip
