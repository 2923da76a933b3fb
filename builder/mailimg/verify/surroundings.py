"""The site that a node of a verification joins: domain, server of its certificate, cloud if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mailimg.peers import addresses as at
from mailimg.peers import domain
from mailimg.peers.authority import Authority
from mailimg.peers.domain import DomainController
from mailimg.peers.files import Files
from mailimg.peers.relay import Relay
from mailimg.verify import cloud
from mailimg.verify.cloud import Cloud, Observer

CERTIFICATE = "/layer.pem"
# A verification has no clients that linger, and nobody who would take mail that is left.
LEAVE = {"deadline": 10, "flush": 10, "handover": 10}


def outlet(scratch: Path, port: int) -> Path:
    """The socket by which a port of the bridge leads out of the verification."""
    return scratch / f"reach-{port}"


def outside(scratch: Path, reach: Mapping[int, str]) -> list[Relay]:
    """The outer ends, for the network that the services are reached from."""
    return [Relay(outlet(scratch, port), cloud.place(target)) for port, target in reach.items()]


class Surroundings:
    """Peers and the keys of the site document that lead to them.

    Args:
        peers: where the domain's first state is kept between verifications.
        described: the cloud, if there is one.

    Attributes:
        domain: the domain controller.
        files: the HTTPS server.
        observer: the cloud by an operator's eyes.
        url: of the certificate; empty: the node has none.
        secrets: texts of the site document's secrets, but for those of `opening`.
        opening: of the key `cloud`, which must stand in the document itself.
    """

    def __init__(self, scratch: Path, peers: Path, authority: Authority, described: Cloud | None) -> None:
        state = domain.provision(peers)
        self.domain = DomainController(scratch / "domain", state, authority.issue(at.DC_NAME, at.DC4), authority.file)
        self.files = Files(authority)
        self.observer = None if described is None else Observer(described)
        self.url = ""
        self.secrets: list[str] = []
        self.opening: list[str] = []
        self._authority = authority
        self._cloud = described
        self._relays = [] if described is None else [
            Relay((at.HOST4, port), outlet(scratch, port)) for port in described.reach]
        self._running = ExitStack()

    def start(self) -> None:
        """Start all, and wait until the domain's names are known."""
        peers: list[DomainController | Files | Relay] = [self.domain, self.files, *self._relays]
        for peer in peers:
            self._running.callback(peer.stop)
            peer.start()
        domain.wait_for_name(at.DC_NAME, at.HOST4)

    def stop(self) -> None:
        """End all; the cloud keeps nothing."""
        with self._running:
            if self.observer is not None:
                self.observer.forget()

    def site(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The site document with all that is joined; everything must run.

        Raises:
            StepError: the cloud does not take the secrets.
        """
        whole = dict(document)
        whole["join"] = {"realm": at.AD_REALM, "ou": self.domain.ou, "user": self.domain.joiner,
                         "password": f"{cloud.LITERAL}{self.domain.joiner_password}"}
        whole["leave"] = LEAVE
        if "tls" in whole:
            inline = whole["tls"]
            pem = inline["certificate"] + inline["key"].removeprefix(cloud.LITERAL)
            self.secrets.append(inline["key"].removeprefix(cloud.LITERAL))
            self.url = self.files.put(CERTIFICATE, pem.encode())
            whole["tls"] = {"url": self.url, "ca": self._authority.pem}
        self.secrets += cloud.literals(whole)
        if self._cloud is None or self.observer is None:
            return whole
        own = {"cloud": self._cloud.cloud, "balancer": self._cloud.balancer}
        self.opening = cloud.literals(own)
        return {**cloud.by_reference(whole, self.observer.keep), **own}
