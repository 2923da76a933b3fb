"""A server of a stack as the agent in it acts: by its user data alone, with the agent's own code (`machine`)."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import requests

from cloud.machine import Machine
from cloud.project import Project
from cloud.rig import Rig
from mailimg.cloud import images
from mailimg_firstboot import metadata

SIGNAL_TIMEOUT = 30.0
DATABASE_TIMEOUT = 30.0


class Member:
    """One server that Nova's stand-in was asked for.

    Args:
        server: as the stand-in keeps it.
        mail: messages in its queue that nobody takes.
    """

    def __init__(self, rig: Rig, server: dict[str, Any], mail: tuple[str, ...] = ()) -> None:
        self.rig = rig
        self.id, self.name = str(server["id"]), str(server["name"])
        self.address = str(server["addresses"]["net"][0]["addr"])
        self.role = str(server["metadata"]["mailimg_role"])
        # A folder has no address of its own; a server without pools must not be told one.
        user_data = base64.b64decode(server["user_data"])
        own = {"mailimg:balancer.address": self.address} if b"balancer:" in user_data else {}
        self.meta = {"uuid": self.id, "hostname": self.name, "meta": own}
        self.user_data = user_data
        self.document = metadata.parse(json.dumps(self.meta).encode(), user_data, None).document
        self.machine = Machine(rig.services.folder / "servers" / self.id, self.role, self.meta, user_data, mail)

    def orders(self) -> list[str]:
        """Ids of the orders to leave that wait for its answer."""
        return self.machine.waiting()

    def report(self, order: str, status: str = "COMPLETE", words: str = "left") -> None:
        """An answer that its agent did not come to by itself: COMPLETE or FAILED."""
        self.machine.answer(order, status == "COMPLETE", words)

    def refuse(self) -> None:
        """A boot that failed, as the agent tells of it."""
        told = self.document["signal"]
        body = {"status": "FAILURE", "reason": "services: no virus database", "data": self.id, "id": self.id}
        answer = requests.post(told["url"], json=body, verify=self.rig.services.ca, timeout=SIGNAL_TIMEOUT,
                               headers={"X-Auth-Token": told["token"].removeprefix("literal:")})
        assert answer.status_code == 200


def at_once(_member: Member) -> bool:
    """Nothing holds a server up."""
    return True


class Fleet:
    """All servers that are there; `tend` does for each what is due.

    Args:
        leaving: asked when a server is told to leave, at every look: whether its agent may look, too.
        booted: is told of every server that serves.
        mail: messages in the queue of every new server.
    """

    def __init__(self, rig: Rig, leaving: Callable[[Member], bool] = at_once,
                 booted: Callable[[Member], object] = at_once, mail: tuple[str, ...] = ()) -> None:
        self.rig = rig
        self.members: dict[str, Member] = {}
        self.ordered: dict[str, float] = {}
        self.left: dict[str, float] = {}
        self.served = True
        self.health = "ONLINE"
        self.leaving = leaving
        self.mail = mail
        self._booted = booted

    def tend(self) -> None:
        """New servers serve and say so; those that are told to leave do."""
        for server in self.rig.infrastructure.all("servers"):
            if server["id"] not in self.members:
                member = Member(self.rig, server, self.mail)
                self.members[member.id] = member
                if self.served:
                    member.machine.boot()
                    monitored(self.rig, member.id, self.health)
                    self._booted(member)
                else:
                    member.refuse()
        there = {server["id"] for server in self.rig.infrastructure.all("servers")}
        for member in list(self.members.values()):
            if member.id in there and member.machine.state:
                self._look(member)

    def _look(self, member: Member) -> None:
        if member.orders():
            self.ordered.setdefault(member.id, time.time())
            if self.leaving(member):
                member.machine.watch()
                if member.machine.state == "left":
                    self.left.setdefault(member.id, time.time())


def monitored(rig: Rig, server: str, status: str) -> None:
    """What the load balancers' monitors find out of a server; nothing of them runs here."""
    path = rig.services.folder / "data" / "octavia.db"
    with closing(sqlite3.connect(path, timeout=DATABASE_TIMEOUT)) as database, database:
        database.execute("UPDATE member SET operating_status = ? WHERE name = ?", (status, f"mailimg-{server}"))


def image(project: Project, role: str, ticket: int = 1, distro: str = "centos-7") -> str:
    """A few bytes in Glance that are promoted to `stable` as the image of a role; returns the id.

    Args:
        ticket: of several images, that with the highest is the current one.
    """
    made = project.me.post("image", "/v2/images", {
        "name": f"mailimg-{role}", "disk_format": "raw", "container_format": "bare", "tags": [images.TAG],
        images.ROLE: role, images.DISTRO: distro, images.IDENTITY: "0" * 64, images.STATE: images.READY,
        images.HEAT: "yes", f"{images.CHANNEL}stable": str(ticket)})["id"]
    project.me.request("image", "PUT", f"/v2/images/{made}/file", data=b"0123456789",
                       headers={"Content-Type": "application/octet-stream"})
    return str(made)
