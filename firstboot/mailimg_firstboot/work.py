"""What steps are given beside the host."""

from typing import Any, Dict, List, NamedTuple, Optional

from mailimg_firstboot.certificates import Certificate
from mailimg_firstboot.node import Node
from mailimg_firstboot.rendering import RenderedFile
from mailimg_firstboot.rolefile import RoleFile


class Work(NamedTuple):
    """The whole goal of a run, decided and rendered before the first step acts.

    Args:
        role: of the image.
        site: checked, with defaults; its secrets are `Secret`s.
        node: this instance.
        files: every file of the role as it must be.
        order: `mailimg:state` of the server's metadata; empty: to serve. See `metadata.DRAIN`.
        certificate: of the layer, as in `site`; None: the node needs none.
    """

    role: RoleFile
    site: Dict[str, Any]
    node: Node
    files: List[RenderedFile]
    order: str = ""
    certificate: Optional[Certificate] = None

    def services(self) -> List[str]:
        """Names of the role's services that the site wants."""
        return [one.name for one in self.role.services if one.wanted(self.site)]
