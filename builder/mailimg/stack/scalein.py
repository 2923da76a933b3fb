"""A smaller group: which servers go, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.errors import InputError, StepError
from mailimg.stack import groups, takeout
from mailimg.stack.groups import Member
from mailimg.stack.orders import Orders
from mailimg.stack.takeout import Work


def scale_in(work: Work, count: int) -> list[Member]:
    """Take servers out of a role's layer; returns those that went.

    Raises:
        InputError: the role has no group, or the group may not be that small.
        StepError: the stack is busy or has failed; a server did not leave. Those before it are gone.
    """
    stack, resources = work.look()
    if stack.failed:
        raise StepError(f"stack {work.name}: {stack.status}: {stack.reason}",
                        f"`mailimg stack status --name {work.name}` says what has failed; `mailimg stack apply` tries"
                        " it again. Then scale in.")
    mine = of_role(work, resources)
    ours, serving = [one for one in mine if not one.failed or one.left], groups.serving(work.key, stack.parameters)
    refuse_failed(mine, work)
    refuse_small(work.key, stack.parameters, sum(one.group == serving and not one.left for one in ours),
                 sum(one.group != serving or one.left for one in ours), count)
    told = [order.server for order in Orders(work.cloud).all()]
    # Servers of a roll that was not finished were to go anyway.
    first = groups.former(work.key, stack.parameters)
    chosen = groups.choose(ours, first, takeout.dates(work.cloud, ours), told, count)
    for member in chosen:
        takeout.take_out(work, member)
    return chosen


def of_role(work: Work, resources: Sequence[Mapping[str, Any]]) -> list[Member]:
    """The members of a role.

    Raises:
        InputError: it has no group in this stack.
    """
    known = dict.fromkeys(map(groups.key_of, groups.names(resources)))
    if work.key not in known:
        names = ", ".join(name.replace("_", "-") for name in known)
        raise InputError([f"role {work.role!r}: stack {work.name} has no group of it"], f"Roles with groups: {names}.")
    return [one for one in groups.members(resources) if groups.key_of(one.group) == work.key]


def refuse_failed(members: Sequence[Member], work: Work) -> None:
    """Refuse a group in which others would go first.

    Raises:
        StepError: members have failed.
    """
    broken = [f"{one.place}: {one.status}: {one.reason}" for one in members if one.failed and not one.left]
    if broken:
        raise StepError(f"{work.role}: {len(broken)} of {len(members)} members have failed: Heat would take these away",
                        f"Console and `mailimg stack status --name {work.name}` say why. `mailimg stack apply` makes"
                        " new ones in their place.", broken)


def refuse_small(key: str, parameters: Mapping[str, Any], serving: int, other: int, count: int) -> None:
    """Refuse to make a layer smaller than it may be.

    Args:
        serving: servers of the group that serves.
        other: servers that go before any of these.

    Raises:
        InputError: too few would stay.
    """
    least = int(parameters.get(f"{key}_min", 0))
    left = serving - max(count - other, 0)
    if left < least:
        words = f"--count {count}: {max(left, 0)} servers would be left of {serving}, and {key}_min is {least}"
        raise InputError([words], f"Apply the stack with `--parameter {key}_min=...` first, if fewer are enough.")
