"""A platform in the cloud of the tests, by the command as an operator runs it, with servers that answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cloud import Rig
from cloud.client import Client
from cloud.member import Fleet, at_once, image
from cloud.seeding import SITE, Identity
from cloud.settings import PASSWORD, REGION

from mailimg.peers.authority import Authority
from mailimg.stack import render

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "stack"
ROLES = ("nfs", "pop-imap-lda", "smtp-in")
# A roll of three servers took 400 s beside other tests.
APPLY_TIMEOUT = 900.0
SECRET = re.compile("barbican:[0-9a-f-]{36}")


@dataclass
class Run:
    """A command that ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output."""
        return json.loads(self.out)


@dataclass
class Platform:
    """A folder with a site document, a cloud, and its servers."""

    rig: Rig
    folder: Path
    fleet: Fleet

    @property
    def site(self) -> Path:
        """The site document."""
        return self.folder / "site.yaml"

    def run(self, *argv: str, tend: bool = True, given: str = "") -> Run:
        """`mailimg stack ...`; meanwhile the servers do what they are told."""
        return self.mailimg("stack", *argv, tend=tend, given=given)

    def mailimg(self, *argv: str, tend: bool = True, given: str = "") -> Run:
        """`mailimg ...`; meanwhile the servers do what they are told."""
        with started(self.rig, self.folder, *argv) as process:
            if given:
                assert process.stdin is not None
                process.stdin.write(given)
                process.stdin.flush()
            deadline = time.monotonic() + APPLY_TIMEOUT
            while process.poll() is None and time.monotonic() < deadline:
                if tend:
                    self.fleet.tend()
                time.sleep(0.3)
            assert process.poll() is not None, "the command does not end"
            return Run(process.returncode, (self.folder / "out").read_text(), (self.folder / "err").read_text())

    def apply(self, name: str, *more: str) -> Run:
        """`mailimg stack apply` of a few roles."""
        roles = [word for role in ROLES for word in ("--role", role)]
        return self.run("apply", "--site", str(self.site), "--name", name, "--distro", "debian-12", *roles, *more)

    def stack(self, name: str) -> dict[str, Any]:
        """As Heat has it."""
        found: dict[str, Any] = self.rig.project().me.get("orchestration", f"/stacks/{name}")["stack"]
        return found

    def stacks(self, name: str) -> list[str]:
        """Where Heat has a stack and all that are nested in it."""
        found, me = self.stack(name), self.rig.project().me
        own = f"/stacks/{name}/{found['id']}"
        inside = me.get("orchestration", f"{own}/resources?nested_depth=4")["resources"]
        links = [link["href"] for one in inside for link in one["links"] if link["rel"] == "nested"]
        return [own, *("/stacks/" + link.partition("/stacks/")[2] for link in links)]

    def resource(self, name: str, resource: str) -> dict[str, Any]:
        """One resource of a stack."""
        path = f"/stacks/{name}/{self.stack(name)['id']}/resources/{resource}"
        found: dict[str, Any] = self.rig.project().me.get("orchestration", path)["resource"]
        return found

    def signal(self, name: str, resource: str) -> None:
        """As an alarm does."""
        path = f"/stacks/{name}/{self.stack(name)['id']}/resources/{resource}/signal"
        self.rig.project().me.request("orchestration", "POST", path, {})

    def shrink(self, name: str, resource: str, begun: Callable[[], bool]) -> None:
        """Signal as an alarm does, until it is heard: a group that has just changed takes none for a few seconds."""
        deadline, last = time.monotonic() + 60, 0.0
        while not begun():
            assert time.monotonic() < deadline, "the group does not begin"
            if time.monotonic() > last + 5:
                self.signal(name, resource)
                last = time.monotonic()
            self.fleet.tend()
            time.sleep(0.3)

    def until(self, what: str, ready: Callable[[], Any], seconds: float = 120.0, tend: bool = True) -> None:
        """Wait; the servers do what they are told."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < deadline, what
            if tend:
                self.fleet.tend()
            time.sleep(0.3)

    def servers(self, role: str) -> list[str]:
        """Ids of the servers of a role that are there."""
        there = {server["id"] for server in self.rig.infrastructure.all("servers")}
        return [one.id for one in self.fleet.members.values() if one.role == role and one.id in there]

    # What `fleet.leaving` is where no test holds a server up.
    leave = staticmethod(at_once)

    def members(self, name: str, pool: str) -> list[str]:
        """Names of the members of a pool."""
        return [one["name"] for one in self.rig.project().members(self.resource(name, pool)["physical_resource_id"])]


@contextmanager
def started(rig: Rig, folder: Path, *argv: str, **changes: str) -> Iterator[subprocess.Popen[str]]:
    """`mailimg` as the user of the tests' project; `changes` are other values of its environment."""
    environment: Mapping[str, str] = {
        "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(folder), "OS_AUTH_URL": rig.auth_url,
        "OS_USERNAME": SITE, "OS_PASSWORD": PASSWORD, "OS_PROJECT_NAME": SITE, "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default", "OS_REGION_NAME": REGION, "OS_CACERT": rig.services.ca,
        **changes,
    }
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err, subprocess.Popen(
        # Whoever runs the tests in the background lets their children ignore Ctrl-C.
        ["/usr/bin/env", "--default-signal=INT", Path(sys.executable).with_name("mailimg"), *argv],
        env=dict(environment), cwd=folder,
        stdin=subprocess.PIPE, stdout=out, stderr=err, text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def make(rig: Rig, folder: Path) -> Platform:
    """A platform that is not there yet: images are promoted, the document and an environment lie in the folder."""
    project = rig.project()
    for role in ROLES:
        image(project, role)
    # The servers open them.
    text = (render.TEMPLATES / render.EXAMPLE).read_text(encoding="utf-8")
    site = yaml.safe_load(SECRET.sub(f"barbican:{project.secret(b'correct horse', 'passphrase')}", text))
    authority = Authority(folder)
    made = authority.issue("webmail.example.org")
    key = project.secret(made.key.read_bytes(), "private")
    container = project.container(certificate=project.secret(made.certificate.read_bytes(), "certificate"),
                                  private_key=key)
    site["tls"].update(container=f"barbican:{container}", ca=authority.pem)
    for one in site["dkim"]:
        one["key"] = f"barbican:{key}"
    site["cloud"] = {"auth_url": rig.auth_url, "ca": rig.ca}
    (folder / "site.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")
    parameters: dict[str, Any] = {
        "server_network": "servers", "balancer_subnet": "7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001",
        "user_networks": "192.0.2.0/24", "cooldown": 0,
        "nfs_flavor": "m1.small", "pop_imap_lda_flavor": "m1.small",
        "smtp_in_flavor": "m1.small", "pop_imap_lda_size": 1, "pop_imap_lda_min": 1, "smtp_in_min": 1,
    }
    (folder / "environment.yaml").write_text(yaml.safe_dump({"parameters": parameters}), encoding="utf-8")
    return Platform(rig, folder, Fleet(rig))


def reader(rig: Rig) -> Client:
    """Somebody who has the role reader in the project of the tests, and no other."""
    admin = Identity(Client.with_password(rig.keystone, "admin", PASSWORD, "admin", rig.services.ca))
    user = admin.make("user", name="onlooker", password=PASSWORD, domain_id="default")
    project, role = admin.find("projects", SITE), admin.find("roles", "reader")
    assert project is not None
    assert role is not None
    admin.grant("projects", project, user, role)
    return Client.with_password(rig.keystone, "onlooker", PASSWORD, SITE, rig.services.ca)


def filled(reference: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The files of the golden platform, and parameters for all of it.

    Args:
        reference: of a secret in Barbican that stands for all.
    """
    files = {name: (GOLDEN / name).read_text(encoding="utf-8") for name in (render.PLATFORM,)}
    files[render.MEMBER] = (render.TEMPLATES / render.MEMBER).read_text(encoding="utf-8")
    known = yaml.safe_load(files[render.PLATFORM])["parameters"]
    values = {"flavor": "m1.small", "network": "servers", "id": "0" * 32, "secret": reference,
              "subnet": "7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001", "networks": "192.0.2.0/24"}
    parameters = {name: values[name.rpartition("_")[2]] for name, one in known.items() if "default" not in one}
    return files, {**parameters, "alarms": False}
