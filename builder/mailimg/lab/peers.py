"""The peers of a lab: everything that is not a node, with keys, passwords and the certificates of the layers."""

from __future__ import annotations

import base64
import datetime
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailimg.lab import addresses as at
from mailimg.lab import names, site
from mailimg.lab.balancer import Balancer
from mailimg.lab.internet import MailHost
from mailimg.lab.nodes import place_of
from mailimg.lab.plan import NodePlan, Plan
from mailimg.lab.state import State
from mailimg.machines import seed
from mailimg.peers import addresses as known
from mailimg.peers import domain
from mailimg.peers.authority import Authority, ssh_key
from mailimg.peers.domain import DomainController
from mailimg.peers.files import Files
from mailimg.peers.names import Names
from mailimg.peers.platform import MASTER_PASSWORD

# Longer than the agent warns of an end: a lab may stand for weeks.
VALID = datetime.timedelta(days=90)


class Startable(Protocol):
    """What a peer can do."""

    def start(self) -> None:
        """Start, and wait until it serves."""

    def stop(self) -> None:
        """End."""


class Peers:
    """All of them, not yet started.

    Args:
        cache: where the domain's first state is kept between labs.

    Attributes:
        all: by name, in the order in which they start.
        passwords: what passwords.json has.
        public: the line that authorizes the SSH key.
    """

    def __init__(self, plan: Plan, state: State, cache: Path) -> None:
        self.plan = plan
        folder = state.folder / "peers"
        keys = folder / "keys"
        keys.mkdir(mode=0o700)
        self.authority = Authority(keys, name="mailimg lab", ends=VALID)
        state.authority.write_text(self.authority.pem)
        private, self.public = ssh_key(keys)
        shutil.copy(private, state.key)
        self.dkim_key, record = dkim_pair()
        controller = DomainController(folder / "domain", domain.provision(cache, at.DC4),
                                      self._issue(known.DC_NAME, at.DC4), self.authority.file, at.DC4)
        self.files = Files(self.authority, at.GATEWAY4)
        (folder / "dns").mkdir()
        dns = Names(folder / "dns" / "dnsmasq", text=names.config(plan, folder / "dns" / "queries", record),
                    address=at.GATEWAY4)
        self.all: dict[str, Startable] = {
            "dns": dns,
            "domain": controller,
            "files": self.files,
            "balancer": Balancer(folder / "balancer", plan),
            "sender": MailHost("sender", folder / "sender", known.SENDER_NAME, (at.SENDER4, at.SENDER6)),
            "receiver": MailHost("receiver", folder / "receiver", at.RECEIVER_NAME, (at.RECEIVER4,)),
        }
        self.passwords = {"people": controller.password, "joiner": controller.joiner_password,
                          "admin": controller.admin_password, "master": MASTER_PASSWORD}
        file = state.folder / "passwords.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(self.passwords))
        self.urls = {vip.role: self._layer(vip.role) for vip in plan.vips}

    def _issue(self, name: str, *addresses: str, others: tuple[str, ...] = ()) -> Any:
        return self.authority.issue(name, *addresses, ends=VALID, names=others)

    def _layer(self, role: str) -> str:
        """The URL of a layer's certificate, which has all its virtual names and those of its nodes."""
        hosts = [vip.host for vip in self.plan.vips if vip.role == role]
        hosts += [f"{node.name}.{known.CLOUD_DOMAIN}" for node in self.plan.of(role)]
        addresses = [address for node in self.plan.of(role) for address in (node.address4, node.address6)]
        addresses += [address for vip in self.plan.vips if vip.role == role for address in (vip.address4, vip.address6)]
        made = self._issue(hosts[0], *addresses, others=tuple(hosts[1:]))
        return self.files.put(f"/{role}.pem", (made.chain + made.key.read_text()).encode())

    def seed(self, node: NodePlan, folder: Path) -> None:
        """Write a node's config drive."""
        document = site.document(node.role, self.plan, self.passwords, self.authority.pem, self.dkim_key,
                                 self.urls.get(node.role, ""))
        seed.write(folder, document, self.public, place_of(node))


def dkim_pair() -> tuple[str, str]:
    """A new key: the private half as PEM, and the TXT record of the public one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption()).decode()
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def running(peers: Mapping[str, Startable]) -> dict[str, bool]:
    """Which of them run."""
    told = {}
    for name, peer in peers.items():
        process = getattr(peer, "process", None)
        told[name] = peer.serving if isinstance(peer, Files) else process is not None and process.poll() is None
    return told
