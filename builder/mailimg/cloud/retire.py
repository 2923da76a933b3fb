"""The end of an image: hidden at once, deleted when no server uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailimg.cloud.glance import Glance
from mailimg.cloud.images import CHANNEL, RETIRED, STATE, UPLOADING, CloudImage, current_in
from mailimg.cloud.servers import Servers, ask
from mailimg.errors import StepError

SHOWN_SERVERS = 5


@dataclass(frozen=True)
class Retired:
    """What became of one image; `kept` says why it is still there, empty if it is deleted."""

    image: CloudImage
    kept: str


def refusal(image: CloudImage, known: Sequence[CloudImage], *, even_current: bool) -> list[str]:
    """Why an image cannot be retired now."""
    if image.state == UPLOADING:
        return [f"{image.shown}: its upload is not finished"]
    inside = current_in(image, known)
    if inside and not even_current:
        return [f"{image.shown}: is the current image of {image.role} in {', '.join(inside)}"]
    return []


def in_use(image: CloudImage, servers: Servers, *, ignore_unknown: bool) -> str:
    """Why an image must stay, in words; empty if nothing is known to use it, and nothing may."""
    names = sorted(servers.of(image))
    if names:
        more = f" and {len(names) - SHOWN_SERVERS} more" if len(names) > SHOWN_SERVERS else ""
        how_many = "1 server uses it" if len(names) == 1 else f"{len(names)} servers use it"
        return f"{how_many}: {', '.join(names[:SHOWN_SERVERS])}{more}"
    doubt = servers.doubt(image)
    return f"whether servers use it is not known: {doubt}" if doubt and not ignore_unknown else ""


def retire(glance: Glance, image: CloudImage, *, ignore_unknown: bool, keep: bool) -> Retired:
    """Hide an image and take it out of its channels; delete it, if no server uses it.

    Nova is asked after the image was hidden: who chooses an image from a list does not begin with it now.

    Args:
        ignore_unknown: also delete it when Nova cannot say whether servers use it.
        keep: only hide it.

    Raises:
        StepError: it cannot be changed or deleted.
    """
    found = glance.get(image.id)
    if found is None:
        return Retired(image, "")
    tickets = [name for name in found.properties if name.startswith(CHANNEL)]
    if not glance.change(found, {STATE: RETIRED, "os_hidden": True}, tickets):
        raise StepError(f"retire {image.shown}: somebody else changes it at this moment", "Run it again.")
    if keep:
        return Retired(found, "hidden only, as asked")
    used = in_use(found, ask(glance.cloud, [found]), ignore_unknown=ignore_unknown)
    if used:
        return Retired(found, used)
    last = glance.get(found.id)
    if last is not None and last.state != RETIRED:
        return Retired(found, "somebody promoted it meanwhile")
    glance.delete(found.id, found.shown)
    return Retired(found, "")
