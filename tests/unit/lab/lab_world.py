"""Images as a lab finds them, without the images."""

from __future__ import annotations

from typing import Any

from mailimg.lab import plan
from mailimg.resources import installed
from mailimg.roles import load_role


def document(role: str, **contract: Any) -> dict[str, Any]:
    """What a lab reads of a manifest; the ports are the role's own."""
    found = load_role(installed(), role)
    return {"distro": "debian-12", "contract": {
        "role": role, "container": True, "login": "debian", "min_ram_mib": 2048, "listeners": [22, *found.listeners],
        "parameters": dict(found.parameters), "ports": [dict(port) for port in found.ports], **contract}}


def images(**contract: Any) -> dict[str, plan.Image]:
    """All images of a lab."""
    return {role: plan.Image(document(role, **contract), f"/images/{role}.qcow2", f"/store/{role}/tree")
            for role in plan.roles("nfs")}


def made(**options: Any) -> plan.Plan:
    """The plan of a lab; in containers, unless it is said otherwise."""
    return plan.make(images(), **{"name": "t", "storage": "bind", **options})
