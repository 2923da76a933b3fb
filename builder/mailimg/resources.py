"""Where the command finds what travels with it: elements, roles, images, the agent's sources."""

from __future__ import annotations

from collections.abc import Sequence
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
        own_elements, own_roles: the user's own, before those of the installation.
    """

    elements: Path
    roles: Path
    images: Path
    firstboot: Path
    own_elements: tuple[Path, ...] = ()
    own_roles: tuple[Path, ...] = ()

    @property
    def elements_path(self) -> tuple[Path, ...]:
        """Folders of elements; the first that has a name wins, as in diskimage-builder."""
        return (*self.own_elements, self.elements)

    @property
    def roles_path(self) -> tuple[Path, ...]:
        """Folders of roles; the first that has a name wins."""
        return (*self.own_roles, self.roles)


def installed(own_roles: Sequence[Path] = (), own_elements: Sequence[Path] = ()) -> Resources:
    """The folders of this installation: inside the wheel, or those of the checkout that the package lies in.

    Args:
        own_roles: folders of the user's own roles, looked at first.
        own_elements: folders of the user's own elements and distributions, looked at first.
    """
    package = Path(__file__).resolve().parent
    root = package / "share"
    if not root.is_dir():
        root = package.parents[1]
    return Resources(
        root / "elements",
        root / "roles",
        root / "images",
        root / "firstboot",
        own_elements=tuple(path.resolve() for path in own_elements),
        own_roles=tuple(path.resolve() for path in own_roles),
    )
