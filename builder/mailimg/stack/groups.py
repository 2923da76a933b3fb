"""The servers of a role as Heat has them: two groups of which one serves, and their members.

Heat cannot give a group another image and leave its members alone. So a role that can be rolled has two groups; the
parameter `<role>_serving` says which of them is the layer's, and the other is empty but for a roll.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TYPE = "OS::Heat::AutoScalingGroup"
FIRST, SECOND = "first", "second"
SIDES = (FIRST, SECOND)
SUFFIXES = {FIRST: "_group", SECOND: "_second_group"}

# What is written on a member that has left and that Heat is to take away; Heat keeps it as the reason of its state.
LEFT = "has left, says mailimg"


@dataclass(frozen=True)
class Member:
    """A server of a group.

    Attributes:
        group: the group's resource, `smtp_in_group`.
        name: in the group.
        path: where Heat has it, `/stacks/<group>/<id>/resources/<name>`.
        status: `CREATE_COMPLETE`, `CHECK_FAILED`, ...
        created: by Heat, as it writes times.
        server: the instance's UUID; empty: there is none (yet).
    """

    group: str
    name: str
    path: str
    status: str
    reason: str
    created: str
    server: str

    @property
    def place(self) -> str:
        """What Heat's messages call it."""
        return f"{self.group}/{self.name}"

    @property
    def failed(self) -> bool:
        """Whether Heat counts it no more, and takes it away before all others."""
        return self.status.endswith("_FAILED")

    @property
    def left(self) -> bool:
        """Whether it was taken out, and Heat has still to delete it."""
        return self.failed and self.reason.startswith(LEFT)


def resource(key: str, side: str) -> str:
    """The name of a group.

    Args:
        key: the role as part of a name, `smtp_in`.
        side: `first` or `second`.
    """
    return key + SUFFIXES[side]


def key_of(group: str) -> str:
    """The role that a group is of, as part of a name."""
    return group.removesuffix(SUFFIXES[SECOND]).removesuffix(SUFFIXES[FIRST])


def serving(key: str, parameters: Mapping[str, Any]) -> str:
    """The group that is the layer's."""
    return resource(key, str(parameters.get(f"{key}_serving", FIRST)))


def former(key: str, parameters: Mapping[str, Any]) -> str:
    """The other one."""
    return resource(key, SECOND if parameters.get(f"{key}_serving", FIRST) == FIRST else FIRST)


def names(resources: Iterable[Mapping[str, Any]]) -> list[str]:
    """All groups of a stack."""
    return [str(one["place"]) for one in resources if one["resource_type"] == TYPE]


def members(resources: Sequence[Mapping[str, Any]]) -> list[Member]:
    """The members of all groups.

    Args:
        resources: of the stack at any depth, each with its `place` (`Heat.resources`).
    """
    groups = set(names(resources))
    servers = {one["place"]: one["physical_resource_id"] or "" for one in resources}
    return [
        Member(group=place[0], name=place[1], status=one["resource_status"],
               path=path_of(one), reason=one.get("resource_status_reason") or "",
               created=one.get("creation_time") or "", server=servers.get(f"{one['place']}/server", ""))
        for one in resources if len(place := str(one["place"]).split("/")) == 2 and place[0] in groups
    ]


def path_of(one: Mapping[str, Any]) -> str:
    """Where Heat has a resource, below its endpoint."""
    link = next(str(link["href"]) for link in one["links"] if link["rel"] == "self")
    return "/stacks/" + link.partition("/stacks/")[2]


def sizes(resources: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], *,
          broken: bool = False) -> dict[str, int]:
    """Parameters that leave each group as large as it is, whatever alarms have made of it.

    Every update of a stack makes its groups as large as its parameters say. What is more goes: failed members first.

    Args:
        broken: count those that have failed, too: then Heat makes new ones in their place.
    """
    counts = dict.fromkeys(names(resources), 0)
    for member in members(resources):
        counts[member.group] += not member.failed or (broken and not member.left)
    found: dict[str, int] = {}
    for key in dict.fromkeys(map(key_of, counts)):
        found[f"{key}_size"] = counts[serving(key, parameters)]
        if former(key, parameters) in counts:
            found[f"{key}_former_size"] = counts[former(key, parameters)]
    return found


def busy(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Members that are being made or taken away at the moment, by an alarm for instance."""
    return [member.place for member in members(resources) if member.status.endswith("_IN_PROGRESS")]


def choose(candidates: Sequence[Member], first: str, images: Mapping[str, str], told: Iterable[str],
           count: int) -> list[Member]:
    """The members that go, the first one first.

    Args:
        candidates: of a role.
        first: the group whose members go before those of the other.
        images: when the image of each server was made, by server; a server that is not in it has an image that is gone.
        told: servers that were told to leave already; another run began with them.
        count: how many.
    """
    known = set(told)
    ordered = sorted(candidates, key=lambda one: (
        not one.left, one.server not in known, one.group != first, images.get(one.server, ""), one.created, one.name))
    return ordered[:count]
