"""An instance as the agent sees it: a folder as its machine, and the cloud of the tests around it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from cloud import Rig
from cloud.project import Credential

from mailimg_firstboot import engine, leaving, rolefile, secret, site, stepping
from mailimg_firstboot import node as nodes
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report, read_events
from mailimg_firstboot.steps import balancer
from mailimg_firstboot.waiting import Clock
from mailimg_firstboot.work import Work

STEP = next(one for one in engine.STEPS if one.name == "balancer")

PORTS = [{"name": "smtp", "port": 25, "peers": "internet"}, {"name": "imap", "port": 143, "peers": "users"}]

ROLE = rolefile.load(json.dumps({
    "schema": 1, "role": "pop-imap-lda", "distro": "debian-12", "identity": "0" * 64, "version": "0.1.0", "site": [],
    "parameters": {}, "facts": {}, "services": [], "files": [], "health": [], "ports": PORTS,
}).encode())


class Instance:
    """One instance with its site document; every instance has another UUID, unless `identity` says which."""

    def __init__(self, root: Path, document: dict[str, Any], identity: str = "") -> None:
        self.uuid = identity or str(uuid.uuid4())
        self.host = Host(str(root / self.uuid))
        self.host.path("/etc").mkdir(parents=True)
        self.host.path("/proc").mkdir()
        for name, content in {"/etc/passwd": "root:x:0:0::/:/bin/sh\n", "/etc/group": "root:x:0:\n",
                              "/proc/uptime": "1.0 1.0\n"}.items():
            self.host.path(name).write_text(content)
        self.clock = Clock()
        self.report = Report(self.host, self.clock)
        checked = secret.resolve(site.load(document, ROLE), lambda path: Path(path).read_bytes(), self._payload).site
        self.work = Work(ROLE, checked, nodes.make("mail-1", self.uuid, checked, ROLE), [])

    @property
    def name(self) -> str:
        """What its members are called."""
        return f"mailimg-{self.uuid}"

    def _payload(self, document: dict[str, Any], reference: str) -> bytes:
        return self.host.cloud.secrets(document, ROLE).payload(reference)

    def join(self) -> None:
        """The step, as the agent runs it."""
        stepping.run_step(STEP, self.host, self.clock, self.report, self.work)

    def check(self) -> str | None:
        """What differs."""
        return balancer.check(self.host, self.work)

    def drain(self) -> None:
        """No new sessions: the step of `leave`, as the agent runs it."""
        self._leaving("drain")

    def leave(self) -> None:
        """Out of the pools: the steps of `leave` that ask the load balancer, as the agent runs them."""
        self._leaving("drain", "member")

    def _leaving(self, *names: str) -> None:
        for step in stepping.only(leaving.steps(0.0, 0.0, 0.0), *names):
            stepping.run_step(step, self.host, self.clock, self.report, self.work)

    def waits(self) -> list[str]:
        """What it has waited for so far."""
        return [one["message"] for one in read_events(self.host) if one["event"] == "wait"]

    def token(self) -> str:
        """The token that it goes in with."""
        return self.host.cloud.session(self.work.site, ROLE).token()


def document(rig: Rig, credential: Credential, pools: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A site document; `more` are keys of `balancer`."""
    return {
        "mailimg": 1,
        "cloud": {"auth_url": rig.keystone, "application_credential_id": credential.id,
                  "application_credential_secret": f"literal:{credential.secret}", "ca": rig.ca},
        "balancer": {"pools": pools, "address": "192.0.2.10", **more},
    }
