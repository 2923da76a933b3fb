"""Servers in the pools of a stack: by the name that each gives its members, `mailimg-<instance UUID>`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailimg.cloud.connection import Cloud, CloudError

POOL = "OS::Octavia::Pool"
# Seconds for a load balancer that is under change.
SETTLE = 300.0
# `operating_status` of a member that the load balancer sends mail to.
GOOD = ("ONLINE", "NO_MONITOR")


def read(cloud: Cloud, pool: str) -> list[dict[str, Any]]:
    """The members of a pool as Octavia shows them; none if there is no such pool."""
    found = cloud.call("load_balancer", "GET", f"/lbaas/pools/{pool}/members", what="list the members of a pool",
                       missing=True)
    return list((found or {"members": []})["members"])


def change(cloud: Cloud, method: str, path: str, body: Any, what: str) -> None:
    """Change something of a load balancer, when it can be changed; to delete what is gone is done.

    Raises:
        CloudError: refused, or it is under change for too long.
    """
    deadline = time.monotonic() + SETTLE
    while True:
        try:
            cloud.call("load_balancer", method, path, body, what=what, missing=method == "DELETE")
            return
        except CloudError as error:
            if error.status != 409 or time.monotonic() > deadline:
                raise
            time.sleep(1)


def states(cloud: Cloud, resources: Sequence[Mapping[str, Any]], servers: Iterable[str]) -> dict[str, dict[str, str]]:
    """For each server its `operating_status` by pool."""
    found: dict[str, dict[str, str]] = {server: {} for server in servers}
    for one in resources:
        if one["resource_type"] == POOL and one["physical_resource_id"]:
            for member in read(cloud, one["physical_resource_id"]):
                server = member["name"].removeprefix("mailimg-")
                if server in found:
                    found[server][one["resource_name"].removesuffix("_pool")] = member["operating_status"]
    return found


def of_server(cloud: Cloud, resources: Sequence[Mapping[str, Any]], server: str) -> list[str]:
    """The pools that a server is in."""
    return [f"pool {name}" for name in states(cloud, resources, [server])[server]]


def ailing(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Servers that are not in service, in words. Who is must be in a pool, and healthy in each that it is in."""
    words = [f"server {server}: in no pool" for server, pools in found.items() if not pools]
    return words + [f"server {server}: {status} in pool {name}" for server, pools in found.items()
                    for name, status in pools.items() if status not in GOOD]
