"""What a fresh Keystone is told: services, their accounts, roles, and the project that tests work in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cloud import infrastructure
from cloud.client import Client
from cloud.settings import PASSWORD, REGION, TYPES, url

# The project of the tests, and its user.
SITE = "site"

# What the user may: load balancers, secrets, stacks.
ROLES = ("member", "load-balancer_member", "creator", "heat_stack_owner")
MORE_ROLES = ("reader", "load-balancer_observer", "load-balancer_admin", "observer", "heat_stack_user", "service")


def seed(admin: Client, services: Iterable[str]) -> None:
    """Fill a Keystone that was only bootstrapped.

    Args:
        admin: its administrator.
        services: those that the catalogue names besides Keystone.
    """
    keystone = Identity(admin)
    roles = {name: keystone.find("roles", name) or keystone.make("role", name=name)
             for name in ("admin", *ROLES, *MORE_ROLES)}
    service = keystone.make("project", name="service", domain_id="default")
    for name in services:
        user = keystone.make("user", name=name, password=PASSWORD, domain_id="default", default_project_id=service)
        for role in ("admin", "service"):
            keystone.grant("projects", service, user, roles[role])
        made = keystone.make("service", name=name, type=TYPES[name][0])
        for interface in ("public", "internal", "admin"):
            keystone.make("endpoint", service_id=made, interface=interface, region_id=REGION, url="https://127.0.0.1")
    # A stand-in answers there for Heat; without Heat nobody does.
    for kind in infrastructure.TYPES:
        made = keystone.make("service", name=f"stand-in-{kind}", type=kind)
        keystone.make("endpoint", service_id=made, interface="public", region_id=REGION, url="https://127.0.0.1:9")
    domain = keystone.make("domain", name="heat")
    user = keystone.make("user", name="heat_domain_admin", password=PASSWORD, domain_id=domain)
    keystone.grant("domains", domain, user, roles["admin"])
    project = keystone.make("project", name=SITE, domain_id="default")
    user = keystone.make("user", name=SITE, password=PASSWORD, domain_id="default", default_project_id=project)
    for name in ROLES:
        keystone.grant("projects", project, user, roles[name])


def move(database: Path, ports: Mapping[str, int]) -> None:
    """Write the endpoints of this start into Keystone's database: ports differ from start to start."""
    places = {"identity": url(ports["keystone"]) + "/v3"}
    places.update((kind, url(ports[name]) + rest) for name, (kind, rest) in TYPES.items() if name in ports)
    places.update((kind, url(ports[infrastructure.NAME]) + rest) for kind, rest in infrastructure.TYPES.items())
    connection = sqlite3.connect(database)
    with connection:
        for kind, place in places.items():
            connection.execute(
                "UPDATE endpoint SET url = ? WHERE service_id IN (SELECT id FROM service WHERE type = ?)",
                (place.replace("%(", "$("), kind))
    connection.close()


class Identity:
    """Keystone's collections."""

    def __init__(self, admin: Client) -> None:
        self._admin = admin

    def find(self, kind: str, name: str) -> str | None:
        """The id of something by its name."""
        found = self._admin.get("identity", f"/{kind}?name={name}")[kind]
        return str(found[0]["id"]) if found else None

    def make(self, kind: str, **fields: Any) -> str:
        """Make something; returns its id."""
        return str(self._admin.post("identity", f"/{kind}s", {kind: fields})[kind]["id"])

    def grant(self, kind: str, place: str, user: str, role: str) -> None:
        """Give a user a role in a project or domain."""
        self._admin.request("identity", "PUT", f"/{kind}/{place}/users/{user}/roles/{role}")
