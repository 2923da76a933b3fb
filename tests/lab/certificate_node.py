"""A node that needs the layer's certificate: a folder, and the part of a run that is about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mailimg.peers.authority import Certificate
from mailimg_firstboot import engine, preparing, stepping
from mailimg_firstboot.host import Host
from mailimg_firstboot.report import Report, read_events
from mailimg_firstboot.waiting import Clock
from mailimg_firstboot.work import Work

NAME = "mail.example.org"
ROLE = {
    "schema": 1, "role": "pop-imap-lda", "distro": "debian-12", "identity": "0" * 64, "version": "0.1.0",
    "site": ["tls"], "parameters": {}, "facts": {}, "services": [], "health": [], "ports": [], "files": [
        {"template": "certificate.pem.j2", "path": "/etc/x/certificate.pem", "owner": "root", "group": "root",
         "mode": "0644"},
        {"template": "key.pem.j2", "path": "/etc/x/key.pem", "owner": "root", "group": "root", "mode": "0600",
         "secret": True}]}
STEPS = stepping.only(engine.STEPS, "certificate", "render")


class Node(Host):
    """A folder as a machine; its clock is taken for synchronised."""

    def __init__(self, root: Path, site: dict[str, Any]) -> None:
        super().__init__(str(root))
        for name, text in {
            "/etc/mailimg/role.json": json.dumps(ROLE), "/etc/passwd": "root:x:0:0::/:/bin/sh\n",
            "/etc/group": "root:x:0:\n", "/proc/uptime": "1.0 1.0\n",
            "/usr/share/mailimg/templates/certificate.pem.j2": "{{ site.tls.certificate | pem }}",
            "/usr/share/mailimg/templates/key.pem.j2": "{{ site.tls.key | pem }}",
            "/var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json": json.dumps(
                {"uuid": "00000000-0000-4000-8000-00000000dead", "hostname": "mail-1"}),
        }.items():
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).write_text(text)
        self.say(site)

    def say(self, site: dict[str, Any]) -> None:
        """Another site document."""
        seed = self.path("/var/lib/cloud/seed/config_drive/openstack/latest/user_data")
        seed.write_text(json.dumps({"mailimg": 1, **site}))

    def clock_synchronised(self) -> bool:
        return True

    def boot(self, patience: float = 1.0) -> Work:
        """The part of a run that is about certificates."""
        options = preparing.Options(patience=patience, certificate_patience=1.0)
        return engine.apply(self, Clock(), Report(self, Clock()), options, STEPS)

    def served(self) -> tuple[bytes | None, bytes | None]:
        """What the daemons would read."""
        return self.read("/etc/x/certificate.pem"), self.read("/etc/x/key.pem")

    def told(self, kind: str) -> list[str]:
        """Messages of events."""
        return [one["message"] for one in read_events(self) if one["event"] == kind]


def both(one: Certificate) -> bytes:
    return one.chain.encode() + one.key.read_bytes()
