"""Another image or document for a role: new servers first, healthy in the pools, then the old ones out, one by one.

Where a roll is can be seen from the stack: it is begun, continued and taken back by the same command.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.errors import InputError, StepError
from mailimg.stack import ages, groups, keep, pools, scalein, takeout
from mailimg.stack.groups import Member
from mailimg.stack.orders import Orders
from mailimg.stack.takeout import Work

# Seconds until the load balancers' monitors must find new servers healthy: by default a few looks of 10 s each.
HEALTHY = 300.0
LOOK = 5.0


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        target: group of the servers with the new image; the layer's from now on.
        old: group whose servers go.
        size: servers that the target is to have.
        before: image that servers have now, to go back to.
        parameters: of the stack that make it so; without the sizes of others.
        begun: whether it was begun before.
    """

    target: str
    old: str
    size: int
    before: str
    parameters: Mapping[str, Any]
    begun: bool = False


def plan(key: str, image: str, parameters: Mapping[str, Any], members: Sequence[Member],
         again: bool = False) -> Plan | None:
    """What brings a role to an image; None: nothing.

    Args:
        key: the role as part of a name.
        image: id.
        parameters: of the stack as it is.
        members: of the role.
        again: whether servers of that image are to go for new ones of it; one that was begun is only finished.

    Raises:
        InputError: servers of two other images are there.
    """
    serving, former = groups.serving(key, parameters), groups.former(key, parameters)
    now, other = str(parameters[f"{key}_image"]), str(parameters[f"{key}_former_image"])
    counts = {side: sum(one.group == side and not one.left for one in members) for side in (serving, former)}
    rest = any(one.group == former for one in members)
    begun = image == now and (rest or not again)
    if begun:
        if not rest and all(not one.failed for one in members):
            return None
        # Begun before: what is missing is made, then what is left goes.
        target, old, before, turn = serving, former, other, parameters[f"{key}_serving"]
    elif rest and image != other:
        raise InputError([f"{key}: a roll from image {other} to {now} is not finished"],
                         f"Finish it (--image {now}) or take it back (--image {other}) first.")
    else:
        # The other group takes over; of a roll that is taken back it still has servers.
        target, old, before = former, serving, now
        turn = groups.SECOND if parameters[f"{key}_serving"] == groups.FIRST else groups.FIRST
    least, most = int(parameters[f"{key}_min"]), int(parameters[f"{key}_max"])
    size = min(max(*counts.values(), least, 1), most)
    good = sum(one.group == old and not one.failed for one in members)
    return Plan(target, old, size, before, {
        f"{key}_serving": turn, f"{key}_image": image, f"{key}_size": size, f"{key}_former_size": good,
        # A group without a good server goes back to the image that it had before its roll, which is this one: with any
        # other, Heat would first try once more to make those that have failed.
        f"{key}_former_image": before if good else image}, begun)


def roll(work: Work, image: str, again: bool = False) -> tuple[Plan | None, list[Member]]:
    """Roll a role to an image; what was done, and the servers that went.

    Args:
        again: though servers have that image, for the document that the stack has now.

    Raises:
        InputError: the role cannot be rolled.
        StepError: new servers do not get ready or healthy, or an old one does not leave. With how to go on and back.
    """
    planned, gone = _once(work, image, again)
    if again and planned is not None and planned.begun:
        # What was begun may have been for another document than the stack has by now.
        stack, resources = work.look()
        if ages.earlier(work.key, stack.parameters, resources):
            work.say(f"{work.role}: that was for an earlier document; once more")
            planned, more = _once(work, image, again)
            gone += more
    return planned, gone


def _once(work: Work, image: str, again: bool) -> tuple[Plan | None, list[Member]]:
    """One roll, from where it is.

    Raises:
        InputError: the role cannot be rolled.
        StepError: new servers do not get ready or healthy, or an old one does not leave. With how to go on and back.
    """
    stack, resources = work.look()
    mine = scalein.of_role(work, resources)
    if f"{work.key}_serving" not in stack.parameters:
        raise InputError([f"{work.role}: is one server with data of its own, or the stack is of an earlier mailimg"],
                         "What has data of its own is not rolled. Of an older stack: `mailimg stack apply` first.")
    planned = plan(work.key, image, stack.parameters, mine, again)
    if planned is None:
        return None, []
    if stack.failed:
        work.say(f"stack {work.name} is {stack.status}: {stack.reason}")
    told = [order.server for order in Orders(work.cloud).all()]
    words = f"Back: {back(planned, image)}."
    work.say(f"{work.role}: {planned.size} servers with image {image}, before any of the old ones goes")
    keep.anew(work.heat, resources, [one for one in mine if one.group == planned.target])
    # As large as that group may be: those that are made anew are to get the same as all.
    batch = {"update_batch": stack.parameters[f"{work.key}_max"]} if "update_batch" in stack.parameters else {}
    try:
        work.update(stack, {**groups.sizes(resources, stack.parameters), **planned.parameters, **batch})
    except StepError as error:
        error.hint = f"The old servers serve and were not touched. Go on: `{work.again}`. {words}"
        raise
    resources = work.look()[1]
    new = [one.server for one in groups.members(resources) if one.group == planned.target]
    hint = f"The old servers serve as well. Go on: `{work.again}`. {words}"
    with takeout.interruptible("the new servers are there, and no old one has left", hint):
        _healthy(work, resources, new, hint)
    old = [one for one in groups.members(resources) if one.group == planned.old]
    leaving = groups.choose(old, planned.old, takeout.dates(work.cloud, old), told, len(old))
    for member in leaving:
        try:
            takeout.take_out(work, member)
        except StepError as error:
            error.hint += f" All back: {back(planned, image)}."
            raise
    stack, resources = work.look()
    # Nobody boots it any more: it may be retired.
    work.update(stack, {**groups.sizes(resources, stack.parameters), f"{work.key}_former_image": image})
    return planned, leaving


def back(planned: Plan, image: str) -> str:
    """How to have again what was before."""
    if planned.before == image:
        return "`mailimg stack apply` with the site document from before, then the same command with --again"
    return f"the same command with --image {planned.before}"


def _healthy(work: Work, resources: Sequence[Mapping[str, Any]], servers: Sequence[str], hint: str) -> None:
    deadline = time.monotonic() + HEALTHY
    said: list[str] = []
    while words := pools.ailing(pools.states(work.cloud, resources, servers)):
        if time.monotonic() > deadline:
            raise StepError(f"{work.role}: new servers are not healthy after {HEALTHY:.0f} s: {'; '.join(words)}", hint)
        if words != said:
            work.say(f"{work.role}: waits for health: {'; '.join(words)}")
            said = words
        time.sleep(LOOK)
    work.say(f"{work.role}: {len(servers)} new servers are healthy in their pools")
