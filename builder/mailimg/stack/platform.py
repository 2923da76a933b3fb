"""What a platform is made of, from the roles alone: load balancers, groups of servers, who may talk to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailimg.roles import Image, Role

MONITORS = {"http": "HTTP", "https": "HTTPS"}


@dataclass(frozen=True)
class Port:
    """A port of a role behind a load balancer.

    Attributes:
        peers: who may come: `internet`, `users`, `servers`.
        from_servers: roles of the platform that use it through its virtual address.
        monitor: Octavia's type of health monitor; `path` is what those of HTTP ask for.
        idle: seconds that a session may be silent; 0: what the load balancer is used to.
    """

    role: str
    name: str
    number: int
    peers: str
    from_servers: tuple[str, ...]
    algorithm: str
    source_ip: bool
    monitor: str
    path: str
    idle: int


@dataclass(frozen=True)
class Balancer:
    """A load balancer with its ports."""

    name: str
    ports: tuple[Port, ...]

    @property
    def public(self) -> bool:
        """Whether anybody but servers of the platform comes to it."""
        return any(port.peers != "servers" for port in self.ports)


@dataclass(frozen=True)
class Opening:
    """One port of a role's servers that others reach directly.

    Attributes:
        peers: `balancers`, or the names of roles.
    """

    number: int
    name: str
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The servers of a role.

    Attributes:
        image: what ships; its smallest flavor.
        ports: those behind load balancers.
        openings: what its security group lets in.
        after: roles that must serve before it does, and that leave after it.
        volume: one server with a data volume, not a group that scales.
        lonely: the service that only one server can have of its own; empty: any number of servers.
    """

    role: Role
    image: Image
    ports: tuple[Port, ...]
    openings: tuple[Opening, ...]
    after: tuple[str, ...]
    lonely: str

    @property
    def name(self) -> str:
        """The role's name."""
        return self.role.name

    @property
    def volume(self) -> bool:
        """Whether it is a single server that keeps data."""
        return self.role.volume is not None


@dataclass(frozen=True)
class Platform:
    """All of it; groups in the order in which they begin to serve."""

    balancers: tuple[Balancer, ...]
    groups: tuple[Group, ...]


def plan(roles: Sequence[Role], images: Mapping[str, Image], site: Mapping[str, Any]) -> Platform:
    """The platform of these roles.

    Args:
        roles: all that it is to have.
        images: by role.
        site: the site document; only which optional keys it has is asked.
    """
    ports = {role.name: tuple(_port(role, port, roles) for port in role.ports if "balancer" in port) for role in roles}
    names = {name: [str(port["balancer"]) for port in role.ports if "balancer" in port]
             for name, role in ((role.name, role) for role in roles)}
    balancers = [
        Balancer(name, tuple(port for role in roles
                             for port, home in zip(ports[role.name], names[role.name], strict=True) if home == name))
        for name in dict.fromkeys(home for role in roles for home in names[role.name])
    ]
    groups = [
        Group(role, images[role.name], ports[role.name], openings(role, roles),
              tuple(one.name for one in roles if _waits(role, one)), lonely(role, site))
        for role in roles
    ]
    return Platform(tuple(balancers), tuple(ordered(groups)))


def vip_keys(port: Mapping[str, Any]) -> tuple[str, str]:
    """Keys of the site document's `vips` by which a port is found: the load balancer's, and its own."""
    return str(port["balancer"]).replace("-", "_"), str(port["name"]).replace("-", "_")


def uses(role: Role, other: Role) -> bool:
    """Whether a role needs a virtual address that is another's."""
    return any(_named(role, port) for port in other.ports if "balancer" in port)


def openings(role: Role, roles: Sequence[Role]) -> tuple[Opening, ...]:
    """What a role's servers let in: load balancers, each other, and whoever mounts what they keep."""
    mounting = tuple(one.name for one in roles if one.mount is not None and role.volume is not None)

    def peers(port: Mapping[str, Any]) -> tuple[str, ...]:
        if port["peers"] == "siblings":
            return (role.name,)
        return ("balancers",) if "balancer" in port else mounting

    return tuple(Opening(port["port"], port["name"], peers(port)) for port in role.ports if peers(port))


def lonely(role: Role, site: Mapping[str, Any]) -> str:
    """The service with data of its own that the site document puts nowhere else; empty: there is none."""
    for database in role.databases:
        condition = role.optional.get(database["service"], {}).get("without")
        if condition is not None and condition not in site:
            return str(database["service"])
    return ""


def _port(role: Role, port: Mapping[str, Any], roles: Iterable[Role]) -> Port:
    check = next((one for one in role.health if one.get("port") == port["port"]), {"check": "tcp"})
    return Port(
        role=role.name, name=port["name"], number=port["port"], peers=port["peers"],
        from_servers=tuple(one.name for one in roles if one.name != role.name and _named(one, port)),
        algorithm=port.get("balance", "round-robin").upper().replace("-", "_"), source_ip="persistence" in port,
        monitor=MONITORS.get(check["check"], "TCP"), path=check.get("path", ""), idle=port.get("idle", 0),
    )


def _named(role: Role, port: Mapping[str, Any]) -> bool:
    return any(f"vips.{key}" in role.site for key in vip_keys(port))


def _waits(role: Role, other: Role) -> bool:
    """Whether a role begins after another, and so leaves before it: mail that is left goes on through the other.

    Two that use each other (smtp-out delivers, pop-imap-lda bounces): the one that only servers talk to is first.
    """
    if role.name == other.name:
        return False
    if other.volume is not None:
        return role.mount is not None
    inner = any(port["peers"] == "servers" and "balancer" in port for port in role.ports)
    return uses(role, other) and not (inner and uses(other, role))


def ordered(groups: Sequence[Group]) -> list[Group]:
    """Each behind those that it waits for; otherwise as they stand."""
    done: list[Group] = []
    left = list(groups)
    while left:
        ready = [group for group in left if not set(group.after) & {one.name for one in left}]
        # Roles of somebody's own may need each other in a ring, which Heat would refuse: it is cut at the first.
        first = (ready or left)[0]
        left.remove(first)
        before = {one.name for one in done}
        done.append(dataclasses.replace(first, after=tuple(name for name in first.after if name in before)))
    return done
