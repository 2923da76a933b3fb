"""What the schema of the site document cannot say of `cloud`, `balancer`, `leave.heat` and references to Barbican."""

import ipaddress
from typing import Any, Dict, Iterator, List, Tuple

from mailimg_firstboot import schema
from mailimg_firstboot.rolefile import RoleFile


def problems(document: Dict[str, Any], root: schema.Schema, role: RoleFile) -> Iterator[Tuple[str, str]]:
    """Problems as (path, words); values of a wrong form are passed over, the schema has told of them."""
    for definition in ("secret", "secret_pem"):
        for path in schema.paths_to(definition, document, root, root):
            if "cloud" not in document and _at(document, path).startswith("barbican:"):
                yield schema.where(path), "a secret in Barbican needs the key `cloud`"
    leave = document.get("leave")
    if isinstance(leave, dict) and leave.get("heat") is True and "cloud" not in document:
        yield "cloud", "missing; `leave.heat` needs it"
    balancer = document.get("balancer")
    if isinstance(balancer, dict):
        if "cloud" not in document:
            yield "cloud", "missing; `balancer` needs it"
        yield from _pools(balancer, [one["name"] for one in role.ports])
        yield from _dialect(balancer)


def _pools(balancer: Dict[str, Any], ports: List[str]) -> Iterator[Tuple[str, str]]:
    pools = balancer.get("pools")
    for name in pools if isinstance(pools, dict) else {}:
        if isinstance(name, str) and name not in ports:
            yield "balancer.pools.{}".format(name), "no port of the role; {}".format(schema.nearest(name, ports))
    address = balancer.get("address")
    if isinstance(address, str):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            yield "balancer.address", "{} is not an IP address".format(address)


def _dialect(balancer: Dict[str, Any]) -> Iterator[Tuple[str, str]]:
    api = balancer.get("api", "octavia")
    if api == "lbaasv2" and "subnet" not in balancer:
        yield "balancer.subnet", "missing; lbaasv2 needs it"
    if api == "lbaasv1" and "subnet" in balancer:
        yield "balancer.subnet", "lbaasv1 has no subnets of members; leave it out"
    pools = balancer.get("pools")
    for name, entry in pools.items() if isinstance(pools, dict) else ():
        if isinstance(entry, dict) and "monitor_port" in entry and api in ("lbaasv1", "lbaasv2"):
            yield "balancer.pools.{}.monitor_port".format(name), "{} has no monitor ports; leave it out".format(api)


def _at(document: Any, path: Tuple[Any, ...]) -> str:
    for part in path:
        document = document[part]
    return document if isinstance(document, str) else ""
