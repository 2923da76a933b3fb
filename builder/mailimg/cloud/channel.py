"""Channels: which image of a role is current in `stable`, `testing`, ...; the others are hidden.

Glance cannot change two images at once, and has no locks. So nothing depends on that: an image that is promoted gets a
ticket, one more than the highest of its role and channel, and the highest ticket is the current image, whoever
asks and at whatever moment. Removing the tickets of the others and hiding them is only tidying; everyone who
promotes does it, by the same rule, until there is nothing left to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailimg.cloud import images
from mailimg.cloud.glance import Glance
from mailimg.cloud.images import CHANNEL, OLD, READY, STATE, CloudImage, channels, current
from mailimg.errors import InputError, StepError

NAME = re.compile(r"[a-z][a-z0-9]{0,31}\Z")
USUAL = "stable"
# Times to look again after a change; two people who promote at once need two or three.
ROUNDS = 12


@dataclass(frozen=True)
class Change:
    """What one image lacks to be as the tickets say."""

    image: CloudImage
    values: dict[str, str | bool]
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class Promotion:
    """What a promotion did.

    Args:
        before: the image that was current; None if the channel had none.
        hidden: images that were hidden for it.
    """

    image: CloudImage
    channel: str
    before: CloudImage | None
    hidden: tuple[CloudImage, ...]


def check_name(channel: str) -> str:
    """A channel's name; it becomes part of a property's.

    Raises:
        InputError: it cannot be one.
    """
    if not NAME.match(channel):
        raise InputError([f"--channel {channel!r}: is not a small letter and up to 31 small letters and digits"])
    return channel


def next_ticket(known: Sequence[CloudImage], role: str, channel: str) -> int:
    """A ticket that wins."""
    return 1 + max((image.tickets[channel] for image in known if image.role == role and channel in image.tickets),
                   default=0)


def untidy(known: Sequence[CloudImage], role: str) -> list[Change]:
    """What is left to do for a role: tickets that have lost go; an image is hidden when its last ticket goes."""
    winners = {channel: current(known, role, channel) for one, channel in channels(known) if one == role}
    found = []
    for image in known:
        if image.role != role or not image.tickets:
            continue
        won = [channel for channel in image.tickets if (best := winners[channel]) is not None and best.id == image.id]
        lost = tuple(CHANNEL + channel for channel in sorted(image.tickets) if channel not in won)
        wanted: dict[str, str | bool] = {STATE: READY if won else OLD}
        values = {name: value for name, value in wanted.items() if image.properties.get(name) != value}
        if image.hidden != (not won):
            values["os_hidden"] = not won
        if values or lost:
            found.append(Change(image, values, lost))
    return found


def promotable(image: CloudImage, *, untested: bool) -> list[str]:
    """Why an image cannot be promoted."""
    problems = []
    if image.state == images.UPLOADING:
        problems.append(f"{image.shown}: its upload is not finished")
    elif image.status != "active":
        problems.append(f"{image.shown}: is {image.status}, not active")
    if not untested and image.properties.get(images.VERIFIED, images.UNTESTED) == images.UNTESTED:
        problems.append(f"{image.shown}: was uploaded untested")
    return problems


def promote(glance: Glance, image: CloudImage, channel: str) -> Promotion:
    """Make an image the current one of its role in a channel.

    Raises:
        StepError: somebody else promoted another one at the same time, and that one won; or it was deleted.
    """
    known = glance.ours()
    before = current(known, image.role, channel)
    ticket = 0
    if before is None or before.id != image.id:
        ticket = next_ticket(known, image.role, channel)
        take(glance, image, channel, ticket)
    hidden: dict[str, CloudImage] = {}
    for _ in range(ROUNDS):
        known = glance.ours()
        winner = current(known, image.role, channel)
        if winner is None or (winner.id != image.id and winner.tickets[channel] < ticket):
            # A change of the same image by somebody else took our ticket with it: Glance writes images as a whole.
            take(glance, image, channel, ticket or next_ticket(known, image.role, channel))
            continue
        left = untidy(known, image.role)
        for change in left:
            if glance.change(change.image, change.values, change.remove) and change.values.get("os_hidden"):
                hidden[change.image.id] = change.image
        if left:
            continue
        if winner.id != image.id:
            raise StepError(f"promote {image.shown}: somebody promoted {winner.shown} to {channel} at the same time,"
                            " and that is current now", "`mailimg images` shows it; promote again if yours is the one.")
        return Promotion(winner, channel, before, tuple(hidden.values()))
    raise StepError(f"promote {image.shown}: images of {image.role} change all the time; given up after {ROUNDS} looks",
                    "Run it again: it goes on from whatever was reached.")


def take(glance: Glance, image: CloudImage, channel: str, ticket: int) -> None:
    """Give an image a ticket; that makes it current.

    Raises:
        StepError: it is gone.
    """
    for _ in range(ROUNDS):
        found = glance.get(image.id)
        if found is None:
            raise StepError(f"promote {image.shown}: it was deleted meanwhile")
        if glance.change(found, {CHANNEL + channel: str(ticket), STATE: READY, "os_hidden": False}):
            return
    raise StepError(f"promote {image.shown}: somebody else changes it all the time", "Run it again.")
