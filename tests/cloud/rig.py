"""The whole of it: start what is asked for, hand out a project to work in, tear everything down."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from cloud import infrastructure, seeding
from cloud.client import Client
from cloud.environment import Environment, locked, prepare
from cloud.project import Project
from cloud.services import Services
from cloud.settings import PASSWORD, url
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority

USUAL = ("keystone", "barbican", "octavia")
ALL = (*USUAL, "glance", "heat")


class Rig:
    """A cloud that runs.

    Args:
        services: its processes.
        seconds: what was measured: `install` (0.0: it was there), `databases`, `start`.
    """

    def __init__(self, services: Services, seconds: dict[str, float]) -> None:
        self.services = services
        self.seconds = seconds
        self.keystone = url(services.ports["keystone"])
        self.auth_url = self.keystone + "/v3"
        self.infrastructure = infrastructure.Infrastructure()

    @property
    def ca(self) -> str:
        """The certificate that every service's chains to, PEM."""
        return Path(self.services.ca).read_text()

    def project(self) -> Project:
        """The project of the tests, as its user."""
        me = Client.with_password(self.keystone, seeding.SITE, PASSWORD, seeding.SITE, self.services.ca)
        return Project(self, me)

    @contextmanager
    def pending(self, seconds: float) -> Iterator[None]:
        """Every change keeps its load balancer immutable (409) for this long."""
        switch = self.services.folder / "pending"
        switch.write_text(str(seconds))
        try:
            yield
        finally:
            switch.unlink()

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """A service refuses connections for as long as the block lasts, and answers again after it."""
        self.services.stop(name)
        try:
            yield
        finally:
            self.services.start(name)

    def database(self, name: str) -> Path:
        """A service's database, for what no call can bring about."""
        return self.services.folder / "data" / f"{name}.db"


@contextmanager
def openstack(cache: Path, *names: str) -> Iterator[Rig]:
    """Run services: `USUAL` ones when none is named. They end, and their folder goes, with the block.

    Args:
        cache: where their code and fresh databases are kept from run to run (450 MB).
        names: of `ALL`; keystone among them.
    """
    environment = prepare(cache)
    with tempfile.TemporaryDirectory(prefix="mailimg-cloud-") as folder:
        services = Services(Path(folder), environment, names or USUAL)
        try:
            services.reserve()
            rig = _start(services, environment)
            with infrastructure.serve(rig.infrastructure, services) if "heat" in services.names else nullcontext():
                yield rig
        finally:
            services.close()


def _start(services: Services, environment: Environment) -> Rig:
    seconds = {"install": environment.seconds}
    services.configure()
    _certificates(services)
    begun = time.monotonic()
    seeds = environment.seeds.with_name(f"{environment.seeds.name}-{'-'.join(sorted(services.names))}")
    with locked(seeds.with_name(seeds.name + ".lock")):
        fresh = not seeds.is_dir()
        if fresh:
            services.make_databases()
            services.start("keystone")
            admin = Client.with_password(url(services.ports["keystone"]), "admin", PASSWORD, "admin", services.ca)
            seeding.seed(admin, [name for name in services.names if name != "keystone"])
            services.keep(seeds)
            services.stop("keystone")
        else:
            services.take(seeds)
    seeding.move(services.folder / "data" / "keystone.db", services.ports)
    seconds["databases"] = time.monotonic() - begun
    begun = time.monotonic()
    services.start()
    seconds["start"] = time.monotonic() - begun
    return Rig(services, seconds)


def _certificates(services: Services) -> None:
    """One CA for the services' own certificate and for those that Octavia issues to amphorae."""
    authority = Authority(services.folder / "etc")
    # At the second address a verification's node reaches them, by a relay.
    authority.issue("localhost", "127.0.0.1", at.HOST4)
    key = services.folder / "etc" / "ca.key"
    key.touch(mode=0o600)
    key.write_bytes(authority.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSWORD.encode())))
