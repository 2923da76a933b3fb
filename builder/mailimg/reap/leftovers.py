"""Leftovers as values: what is one, what becomes of it, and removing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.cloud.connection import Cloud
from mailimg.reap.directory import Directory, Entry
from mailimg.reap.instances import DELETED, THERE, fate
from mailimg.stack import pools
from mailimg.stack.orders import Order, Orders

INSTANCE = r"(?P<instance>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
# What the agent calls its members and writes on its computer account (docs/contract.md); nothing else is ours.
MEMBER = re.compile(f"mailimg-{INSTANCE}")
MARK = re.compile(f"mailimg (?P<role>[a-z0-9-]+), instance {INSTANCE}")


@dataclass(frozen=True)
class Leftover:
    """Something that names an instance.

    Attributes:
        kind: `member`, `account` or `order`.
        shown: for a person.
        fate: of the instance.
        remove: takes it away; raises a MailimgError.
    """

    kind: str
    shown: str
    instance: str
    fate: str
    remove: Callable[[], None]


def of_pools(cloud: Cloud) -> list[tuple[str, str, Callable[[], None]]]:
    """Members that servers of ours have made, in all pools of the project: (words, instance, removing it)."""
    found = []
    for pool in cloud.call("load_balancer", "GET", "/lbaas/pools", what="list the pools")["pools"]:
        for member in pools.read(cloud, pool["id"]):
            match = MEMBER.fullmatch(member["name"] or "")
            if match:
                shown = f"{member['address']}:{member['protocol_port']} in pool {pool['name'] or pool['id']}"
                path = f"/lbaas/pools/{pool['id']}/members/{member['id']}"
                found.append((shown, match["instance"], _dropping(cloud, path)))
    return found


def of_directory(directory: Directory) -> list[tuple[str, str, Callable[[], None]]]:
    """Computer accounts that instances of ours have marked as theirs."""
    return [(str(entry["dn"][0]), instance, _deleting(directory, entry["dn"][0]))
            for entry in directory.computers() if (instance := owner(entry))]


def of_orders(cloud: Cloud) -> list[tuple[str, str, Callable[[], None]]]:
    """Orders to leave."""
    orders = Orders(cloud)
    return [(f"order to leave {one.id}", one.server, _forgetting(orders, one)) for one in orders.all()]


def owner(entry: Entry) -> str:
    """The instance that a computer account names, by exactly the words that the agent writes; empty: none."""
    named = {match["instance"] for text in (*entry.get("description", ()), *entry.get("info", ()))
             if (match := MARK.fullmatch(text))}
    return named.pop() if len(named) == 1 else ""


def judged(cloud: Cloud, kinds: Mapping[str, Iterable[tuple[str, str, Callable[[], None]]]]) -> list[Leftover]:
    """All that does not belong to a server that is there; each instance is asked for once."""
    fates: dict[str, str] = {}
    found = []
    for kind, things in kinds.items():
        for shown, instance, remove in things:
            if instance not in fates:
                fates[instance] = fate(cloud, instance)
            if fates[instance] != THERE:
                found.append(Leftover(kind, shown, instance, fates[instance], remove))
    return found


def due(leftovers: Sequence[Leftover], *, forgotten: bool) -> list[Leftover]:
    """Those that are to go.

    Args:
        forgotten: also of instances that Nova knows nothing of.
    """
    return [one for one in leftovers if forgotten or one.fate == DELETED]


def described(one: Leftover) -> dict[str, Any]:
    """For scripts."""
    return {"kind": one.kind, "what": one.shown, "instance": one.instance, "server": one.fate}


def _dropping(cloud: Cloud, path: str) -> Callable[[], None]:
    return lambda: pools.change(cloud, "DELETE", path, None, "remove a member")


def _deleting(directory: Directory, name: str) -> Callable[[], None]:
    return lambda: directory.delete(name)


def _forgetting(orders: Orders, one: Order) -> Callable[[], None]:
    return lambda: orders.drop(one)
