"""Where the command finds what travels with it: elements, roles, images, the agent's sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Resources:
    """Folders of one installation.

    Attributes:
        elements: diskimage-builder elements, one folder each; `distro-<id>` folders are distributions.
        roles: one folder a role.
        images: one file an image.
        firstboot: sources of the agent.
    """

    elements: Path
    roles: Path
    images: Path
    firstboot: Path


def installed() -> Resources:
    """The folders of this installation: inside the wheel, or those of the checkout that the package lies in."""
    package = Path(__file__).resolve().parent
    root = package / "share"
    if not root.is_dir():
        root = package.parents[1]
    return Resources(root / "elements", root / "roles", root / "images", root / "firstboot")
