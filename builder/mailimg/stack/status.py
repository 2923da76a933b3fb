"""What a stack is like: its groups, their servers, the pools' members, and what failed."""

from __future__ import annotations

from typing import Any

from mailimg.cloud.connection import Cloud
from mailimg.stack import groups, pools
from mailimg.stack.heat import Heat, Stack

SERVER, VOLUME = "OS::Nova::Server", "OS::Cinder::Volume"


def volumes(heat: Heat, stack: Stack) -> list[str]:
    """Ids of volumes that stay when the stack goes."""
    return [one["physical_resource_id"] for one in heat.resources(stack)
            if one["resource_type"] == VOLUME and one["physical_resource_id"]]


def describe(cloud: Cloud, heat: Heat, stack: Stack) -> dict[str, Any]:
    """All of it, for scripts."""
    resources = heat.resources(stack)
    servers = [{"group": groups.key_of(one["place"].partition("/")[0]).removesuffix("_server"),
                "id": one["physical_resource_id"], "state": one["resource_status"]}
               for one in resources if one["resource_type"] == SERVER]
    told = {one["resource_name"].removesuffix("_pool"): _members(cloud, one["physical_resource_id"])
            for one in resources if one["resource_type"] == pools.POOL and one["physical_resource_id"]}
    return {
        "name": stack.name, "id": stack.id, "status": stack.status, "reason": stack.reason, "created": stack.created,
        "updated": stack.updated, "outputs": dict(stack.outputs), "servers": servers, "pools": told,
        "failed": [{"resource": one.place, "status": one.status, "reason": one.reason}
                   for one in heat.failures(stack)],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    told = [f"{found['name']}  {found['status']}  {found['reason']}"]
    told += [f"  {name}: {value}" for name, value in sorted(found["outputs"].items()) if value is not None]
    for group in sorted({one["group"] for one in found["servers"]}):
        mine = [one for one in found["servers"] if one["group"] == group]
        told.append(f"  {group}: " + ", ".join(f"{one['id']} {one['state']}" for one in mine))
    for name, members in sorted(found["pools"].items()):
        words = [f"{one['address']}:{one['port']} weight {one['weight']} {one['operating']}" for one in members]
        told.append(f"  pool {name}: " + (", ".join(words) or "no member"))
    return told + [f"  FAILED {one['resource']}  {one['status']}: {one['reason']}" for one in found["failed"]]


def _members(cloud: Cloud, pool: str) -> list[dict[str, Any]]:
    return [{"name": one["name"], "address": one["address"], "port": one["protocol_port"], "weight": one["weight"],
             "operating": one["operating_status"]} for one in pools.read(cloud, pool)]
