"""Which servers boot from which image, as far as Nova tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailimg.cloud.connection import Cloud, CloudError
from mailimg.cloud.images import CloudImage

PAGE = 500
PRIVATE = "private"


@dataclass(frozen=True)
class Servers:
    """What Nova says.

    Args:
        unknown: why it says nothing; empty if it does.
        everywhere: servers of all projects were counted, not only those of ours.
        by_image: names of servers by image id. A server whose disk is a volume has its own copy and names no image.
    """

    unknown: str
    everywhere: bool = False
    by_image: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, image: CloudImage) -> Sequence[str]:
        """Names of the servers that are known to use an image."""
        return self.by_image.get(image.id, ())

    def doubt(self, image: CloudImage) -> str:
        """Why there may be servers that were not counted; empty if there are none."""
        if self.unknown:
            return self.unknown
        if image.visibility != PRIVATE and not self.everywhere:
            return f"it is {image.visibility}, and servers of other projects are not ours to see"
        return ""

    def words(self, image: CloudImage) -> str:
        """For a table: `3`, `3+` (at least), `unknown`."""
        return "unknown" if self.unknown else f"{len(self.of(image))}{'+' if self.doubt(image) else ''}"


def ask(cloud: Cloud, known: Sequence[CloudImage]) -> Servers:
    """Ask Nova for all servers; of all projects if images are not private and we may."""
    try:
        if any(image.visibility != PRIVATE for image in known):
            try:
                return Servers("", True, listed(cloud, "&all_tenants=1"))
            except CloudError as error:
                if error.status != 403:
                    raise
        return Servers("", False, listed(cloud, ""))
    except CloudError as error:
        return Servers(error.message)


def listed(cloud: Cloud, more: str) -> dict[str, list[str]]:
    """Names of servers by the image they were made from."""
    found: dict[str, list[str]] = {}
    marker = ""
    while True:
        page = cloud.call("compute", "GET", f"/servers/detail?limit={PAGE}{more}{marker}", what="list the servers")
        for server in page["servers"]:
            # Nova writes "" where the disk is a volume.
            if isinstance(server.get("image"), dict):
                found.setdefault(server["image"]["id"], []).append(server["name"])
        # Nova's own limit may be smaller than ours: the next page is announced by a link.
        if not page["servers"] or not page.get("servers_links"):
            return found
        marker = f"&marker={page['servers'][-1]['id']}"
