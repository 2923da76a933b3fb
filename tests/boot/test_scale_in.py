"""A group that shrinks and grows under load: every letter arrives, and nothing of a server that left stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cloud
import pytest
import yaml
from cloud import infrastructure
from cloud.member import image
from cloud.seeding import SITE
from cloud.settings import PASSWORD, REGION
from conftest import STORE, Lab
from hypervisor import Hypervisor

from mailimg.lab import control, start
from mailimg.lab.state import State
from mailimg.peers import addresses as at
from mailimg.peers import domain
from mailimg.peers.relay import Relay
from mailimg.verify.cloud import by_reference

pytestmark = pytest.mark.boot

ROLE, KEY = "smtp-out", "smtp_out"
PORTS = {"smtp", "smtps", "submission"}
# So slow that letters still come when Heat has taken two servers away, each of which looks every 30 s for its order.
RATE = 4.0
SERVICES = ("keystone", "octavia", "barbican", "heat", infrastructure.NAME)
PARAMETERS = ("server_network=servers", "user_networks=192.0.2.0/24", f"{KEY}_min=1", f"{KEY}_flavor=m1.small",
              "cooldown=0", "balancer_subnet=7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001")
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def three(images: Path) -> Iterator[Lab]:
    """A lab with three servers of smtp-out."""
    made = Lab(f"o{os.getpid()}", images)
    made.up("--nodes", f"{ROLE}=3")
    yield made
    made.run("down")


def test_from_three_to_one_and_back(three: Lab) -> None:
    result = three.proved("scaling")
    print(result["checks"][0]["detail"])  # noqa: T201


class Operator:
    """Somebody with the command, a site document and a stack of one role.

    Args:
        site: the document of the platform, which lies in the folder.
    """

    def __init__(self, rig: cloud.Rig, hypervisor: Hypervisor, folder: Path, site: Mapping[str, Any]) -> None:
        self.rig, self.hypervisor, self.folder, self.me = rig, hypervisor, folder, rig.project().me
        (folder / "site.yaml").write_text(yaml.safe_dump(dict(site)), encoding="utf-8")

    def mailimg(self, *argv: str, within: Callable[[list[str]], list[str]] = list) -> str:
        """What a command says that must succeed.

        Args:
            within: makes a command line another that runs elsewhere.
        """
        environment = {
            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder), "OS_AUTH_URL": self.rig.auth_url,
            "OS_USERNAME": SITE, "OS_PASSWORD": PASSWORD, "OS_PROJECT_NAME": SITE, "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default", "OS_REGION_NAME": REGION, "OS_CACERT": self.rig.services.ca}
        said = self.folder / "said"
        command = within([str(Path(sys.executable).with_name("mailimg")), *argv])
        with said.open("w") as file, subprocess.Popen(command, cwd=self.folder, env=environment, stdout=file,
                                                      stderr=file) as process:
            try:
                while process.poll() is None:
                    self.hypervisor.trouble()
                    time.sleep(0.2)
            finally:
                process.kill()
        assert process.returncode == 0, said.read_text()
        return said.read_text()

    def apply(self, size: int) -> None:
        """Make the stack, or make its group that large."""
        self.mailimg("stack", "apply", "--site", "site.yaml", "--distro", "debian-12", "--role", ROLE,
                     *(word for one in (*PARAMETERS, f"{KEY}_size={size}") for word in ("--parameter", one)))

    def reap(self, state: State) -> str:
        """What `mailimg reap` finds, also in the domain, which is reached in the lab's network only."""
        return self.mailimg("reap", "--site", str(self.folder / "site.yaml"),
                            within=lambda argv: start.inside(state, argv))

    @property
    def servers(self) -> set[str]:
        """Ids of the servers that are there."""
        return {str(one["id"]) for one in self.rig.infrastructure.all("servers")}

    def members(self) -> dict[str, set[str]]:
        """Servers by the port of the role's pools in Octavia in which they are."""
        pools = self.me.get("load-balancer", "/v2.0/lbaas/pools")["pools"]
        return {pool["name"].removeprefix("mail-smtp-out-"): {
            one["name"].removeprefix("mailimg-") for one in self.rig.project().members(pool["id"])} for pool in pools}


def accounts(three: Lab, servers: set[str]) -> set[str]:
    """Of these servers those that have a computer account."""
    told = str(domain.computers(three.state.folder / "peers" / "domain"))
    return {one for one in servers if one in told}


def document(rig: cloud.Rig, text: str) -> dict[str, Any]:
    """The lab's site document for a role as an operator of a stack has it: secrets in Barbican, the rest Heat's."""
    site: dict[str, Any] = yaml.safe_load(text)
    del site["role"], site["leave"]["siblings"]
    ports = rig.services.ports
    site = by_reference(site, lambda secret: rig.project().secret(secret.encode(), "passphrase"))
    site["cloud"] = {
        "auth_url": f"https://{at.HOST4}:{ports['keystone']}/v3", "ca": rig.ca,
        "endpoints": {kind: f"https://{at.HOST4}:{ports[name]}" for kind, name in (
            ("load-balancer", "octavia"), ("key-manager", "barbican"), ("orchestration", "heat"))}}
    return site


@contextmanager
def flow(three: Lab, rig: cloud.Rig, folder: Path) -> Iterator[Callable[[str], str]]:
    """`scale_inside`, with doors to the rig: a function that lets it go on, and returns what it says next."""
    ports = [str(rig.services.ports[name]) for name in SERVICES]
    with ExitStack() as running:
        for port in ports:
            relay = Relay(folder / port, ("127.0.0.1", int(port)))
            relay.start()
            running.callback(relay.stop)
        argv = [sys.executable, str(HERE / "scale_inside.py"), three.name, str(folder), str(RATE), *ports]
        inside = running.enter_context(subprocess.Popen(
            start.inside(three.state, argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "builder")}))
        assert inside.stdin is not None
        assert inside.stdout is not None
        given, told = inside.stdin, inside.stdout

        def go_on(word: str) -> str:
            if word:
                given.write(word + "\n")
                given.flush()
            return told.readline().strip()

        running.callback(inside.kill)
        yield go_on


def test_heat_takes_them_out_of_octavia_and_the_directory(three: Lab, tmp_path: Path) -> None:
    """The same by the cloud's own engine: a stack whose servers are the lab's nodes, with what Heat tells them.

    Real are Heat, Keystone, Octavia's API and database, Barbican, the domain and the image; the letters' way through
    the layer is HAProxy's, because no amphora runs.
    """
    plan = start.plan_of(three.state)
    nodes = [node.name for node in plan.of(ROLE)]
    others = [node.name for node in plan.nodes if node.role not in (ROLE, "nfs")]
    with ExitStack() as running:
        rig = running.enter_context(cloud.openstack(STORE / "cache", *cloud.ALL))
        image(rig.project(), ROLE)
        hypervisor = Hypervisor(rig, three.state, nodes)
        site = document(rig, hypervisor.read(
            three.state.folder / "writes" / "seeds" / nodes[0] / "openstack" / "latest" / "user_data"))
        operator = Operator(rig, hypervisor, tmp_path, site)
        for name in nodes:
            three.run("shell", name, "mailimg-firstboot", "leave")
            control.ask(three.state.control, "stop", name)
        go_on = running.enter_context(flow(three, rig, tmp_path))
        assert go_on("") == "doors"
        running.enter_context(hypervisor)
        operator.apply(3)
        first = operator.servers
        assert operator.members() == dict.fromkeys(PORTS, first)
        assert accounts(three, first) == first
        assert go_on("send") == "flows"
        begun = time.monotonic()
        operator.mailimg("scale-in", "--role", ROLE, "--count", "2")
        shrunk = time.monotonic() - begun
        left = operator.servers
        assert len(left) == 1
        assert operator.members() == dict.fromkeys(PORTS, left)
        assert accounts(three, first) == left
        said = go_on("one is left")
        assert said == "shrunk", said
        operator.apply(3)
        now = operator.servers
        assert len(now) == 3
        assert left < now
        assert operator.members() == dict.fromkeys(PORTS, now)
        assert accounts(three, first | now) == now
        found = operator.reap(three.state)
        # It saw the domain: the lab's nodes of other roles are in no cloud.
        assert found.count("left alone: Nova knows nothing of its server") == len(others), found
        assert found.count("  instance ") == len(others), "and nothing else"
        receipt = go_on("three again")
        assert receipt.startswith("1000 distinct letters"), receipt
        assert hypervisor.queued == {one: [] for one in first - left}
        print(f"{receipt}; two servers gone after {shrunk:.0f} s")  # noqa: T201
