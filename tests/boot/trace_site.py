"""Three nodes of a platform side by side in containers, for tests that follow a message from one to the next.

Runs in namespaces of its own. The peers are those of a verification; the nodes know each other by their site documents.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.machines import seed
from mailimg.machines.console import Console
from mailimg.machines.machine import Container, exited
from mailimg.machines.network import BRIDGE, INSIDE
from mailimg.machines.node import Node
from mailimg.machines.place import Place
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority, Certificate
from mailimg.peers.directory import Directory
from mailimg.peers.names import Names
from mailimg.peers.platform import Platform

READY_SECONDS = 180.0
TUNING: dict[str, dict[str, Any]] = {
    "smtp-in": {"amavis_workers": 2}, "smtp-out": {"scanners": 2, "auth_workers": 2}, "pop-imap-lda": {"sessions": 50},
}
NAMES = {"smtp-in": "mx-1", "pop-imap-lda": "box-1", "smtp-out": "out-1"}


class Member:
    """One node: its role, its place in the network, its container."""

    def __init__(self, role: str, number: int, folder: Path, tree: Path, login: str) -> None:
        self.role, self.tree = role, tree
        self.place = Place(NAMES[role], f"{at.INSTANCE[:-2]}{20 + number}", f"52:54:00:5a:00:{20 + number}",
                           f"10.90.0.{20 + number}", f"fd00:90::{20 + number}", port=f"port{number}")
        self.name, self.address = self.place.name, self.place.address4
        self.fqdn = f"{self.name}.{at.CLOUD_DOMAIN}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.storage = self.folder / "storage"
        self.cable = f"eth{number}"
        self.node = Node(login, folder / "ssh-key", self.address)
        self.machine: Container

    def plug(self) -> None:
        """A cable from the bridge."""
        for command in (
            f"link add {self.place.port} type veth peer name {self.cable} address {self.place.mac}",
            f"link set {self.place.port} master {BRIDGE} up",
        ):
            process.run(["ip", *command.split()], what="plug a node in", timeout=20)

    def boot(self, site: dict[str, Any], public: str) -> None:
        """Start the container with what a cloud would tell it."""
        drive = self.folder / "seed"
        seed.write(drive, site, public, self.place)
        binds = {}
        if self.role == "pop-imap-lda":
            self.storage.mkdir(mode=0o700)
            os.chown(self.storage, 5000, 5000)
            binds["/MAILBOXES"] = self.storage
        self.machine = Container(self.folder / "node", self.tree, drive, binds, self.place)
        # All cables are there before the first container starts: each has a name of its own.
        cable = f"--network-interface={self.cable}"
        self.machine.argv = [cable if word == f"--network-interface={INSIDE}" else word for word in self.machine.argv]
        self.console = Console(self.machine.console, lambda line: None)
        self.machine.start()

    def ready(self) -> None:
        """Wait for the agent's last word."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.console.verdict:
            self.console.read()
            assert time.monotonic() < deadline, [self.name, *self.console.tail()]
            assert not exited(self.machine), [self.name, exited(self.machine), *self.machine.tail()]
            time.sleep(0.2)
        assert not self.console.verdict.startswith("FAILED"), self.console.tail()
        self.node.wait(60)


class Site:
    """Peers and nodes.

    Args:
        trees: root tree and login account by role.
    """

    def __init__(self, folder: Path, trees: dict[str, list[str]]) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.directory = Directory(folder / "directory", self.authority.issue(at.DIRECTORY_NAME, at.HOST4),
                                   self.authority.file)
        self.platform = Platform(self.authority, self.directory.password)
        self.names = Names(folder / "names", {at.DKIM_NAME: self.platform.dkim_record})
        self.members = {role: Member(role, number, folder, Path(tree), login)
                        for number, (role, (tree, login)) in enumerate(trees.items(), 1)}
        lines = [f"host-record={member.fqdn},{member.address}" for member in self.members.values()]
        with self.names.config.open("a") as file:
            file.write("\n".join(lines) + "\n")

    def start(self, public: str) -> None:
        """Peers, then all nodes at the same time."""
        for peer in (self.names, self.directory, self.platform.internet):
            peer.start()
        for member in self.members.values():
            member.plug()
            member.boot(self.site(member), public)
        for member in self.members.values():
            member.ready()

    def stop(self) -> None:
        """End all."""
        for member in self.members.values():
            if hasattr(member, "machine"):
                member.machine.stop()
        for peer in (self.platform.internet, self.directory, self.names):
            peer.stop()

    def site(self, member: Member) -> dict[str, Any]:
        """The site document of a node."""
        own: Certificate = self.authority.issue(member.fqdn, member.address)
        keys = self.platform.site_keys()
        keys["tls"] = {"certificate": own.chain, "key": f"literal:{own.key.read_text()}"}
        site = seed.site_document(member.role, self.directory.password, self.authority.pem, TUNING[member.role], keys)
        if "pop-imap-lda" in self.members:
            site["vips"]["delivery"] = {"host": self.members["pop-imap-lda"].fqdn, "port": 25}
        if "smtp-out" in self.members:
            site["vips"]["smtp_out"] = {"host": self.members["smtp-out"].fqdn, "port": 587}
        return site
