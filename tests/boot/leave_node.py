"""Nodes for tests of leaving: a Postfix each, real, in a chroot over a built tree, with an address of its own.

There is no systemd: `Units` does for Postfix what its unit does. Everything else is the agent's own code on real files,
programs and sockets. Run with a folder, a command and its words, this module is the agent, in a process that can be
killed before or after any step.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mailimg_firstboot import leaving, preparing, stepping
from mailimg_firstboot.host import Host
from mailimg_firstboot.programs import Completed
from mailimg_firstboot.report import Report
from mailimg_firstboot.steps import render, services
from mailimg_firstboot.systemd import Systemd, UnitState
from mailimg_firstboot.waiting import Clock
from mailimg_firstboot.work import Work

UNIT = "postfix@-.service"
INSTANCE = "5f0c5a0e-3f4e-4d0e-9a53-7a3f2a1b0c9d"
LEAVING, SIBLING, GONE = "10.77.0.1", "10.77.0.2", "10.77.0.4"
DELIVERY = ("10.77.0.3", 2525)

ROLE: dict[str, Any] = {
    "schema": 1, "role": "lab", "distro": "debian-12", "identity": "0" * 64, "version": "0.1.0", "site": ["domains"],
    "parameters": {}, "facts": {"postfix": {"config": "/etc/postfix"}},
    "services": [{"name": "postfix", "unit": UNIT}],
    "files": [
        {"template": name + ".j2", "path": "/etc/postfix/" + name, "owner": "root", "group": "root",
         "service": "postfix", "mode": "0600" if name == "account" else "0644", "secret": name == "account"}
        for name in ("main.cf", "master.cf", "account", "transport")],
    "ports": [{"name": "smtp", "port": 25, "peers": "internet"}], "health": [],
}
SERVICES = """\
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
dead unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def templates(address: str, name: str, next_hop: str, content_filter: str) -> dict[str, str]:
    """The files of a node; loopback has a port as well, as the way back from a content filter has."""
    main = f"""\
compatibility_level = 3.6
myhostname = {name}
inet_interfaces = {address}, 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = {address}
mydestination =
local_recipient_maps =
relay_domains = {{{{ site.domains | join(" ") }}}}
transport_maps = texthash:/etc/postfix/transport
smtpd_relay_restrictions = reject_unauth_destination
content_filter = {content_filter}
maillog_file = /var/log/postfix.log
smtp_connect_timeout = 3s
minimal_backoff_time = 300s
"""
    inside = f"127.0.0.1:{10025 if address == LEAVING else 10026} inet n - n - - smtpd\n"
    return {
        "main.cf": main,
        "master.cf": "smtp inet n - n - - smtpd\n" + inside + SERVICES,
        "account": "relay:password\n",
        "transport": f"{{% for domain in site.domains %}}\n{{{{ domain }}}} smtp:{next_hop}\n{{% endfor %}}\n",
    }


class Units(Systemd):
    """What systemd and the units of Postfix do, by `postfix` itself."""

    def state(self, unit: str) -> UnitState:
        active = unit == UNIT and self._run(["postfix", "status"], "ask", check=False).status == 0
        return UnitState(unit == UNIT, active, "active" if active else "inactive")

    def _order(self, order: str, unit: str) -> None:
        assert unit == UNIT, unit
        self._run(["postfix", {"reload-or-restart": "reload"}.get(order, order)], order)


class NodeHost(Host):
    """A node's root, with its programs in a chroot."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root), Units(self.run))

    def run(self, argv: Sequence[str], what: str, timeout: float = 60.0, check: bool = True,
            stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Completed:
        return super().run(["chroot", str(self.root), *argv], what, timeout, check, stdin, env)

    def console(self, line: str) -> None:
        with self.path("/console").open("a") as stream:
            stream.write(line + "\n")


def lay(root: Path, address: str, name: str, next_hop: str, document: dict[str, Any], content_filter: str = "") -> None:
    """Furnish a tree as a node whose services never ran."""
    host = NodeHost(root)
    for file, text in templates(address, name, next_hop, content_filter).items():
        host.write(f"/usr/share/mailimg/templates/{file}.j2", text.encode())
    host.write("/etc/mailimg/role.json", json.dumps(ROLE).encode())
    seed = "/var/lib/cloud/seed/config_drive/openstack/latest/"
    host.write(seed + "meta_data.json", json.dumps({"uuid": INSTANCE, "hostname": name.partition(".")[0]}).encode())
    host.write(seed + "user_data", json.dumps(document).encode())


def goal(host: Host) -> Work:
    """The work of the node's documents."""
    options = preparing.Options()
    return preparing.prepare(host, Clock(), preparing.read_role(host, options), options, str, str, str)


def serve(root: Path) -> None:
    """Files and services, as a boot brings them."""
    host = NodeHost(root)
    work = goal(host)
    render.apply(host, work)
    services.apply(host, work)


def killing(step: stepping.Step, when: str) -> stepping.Step:
    """A step before or after which the agent is killed, as by SIGKILL at the moment of its change."""

    def apply(host: Host, work: Work) -> None:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        step.apply(host, work)
        os.kill(os.getpid(), signal.SIGKILL)

    return step._replace(apply=apply)


def main(words: list[str]) -> int:
    """The agent: leave, perhaps killed at a step."""
    root, name, when = Path(words[0]), *words[1:3]
    real: Callable[..., Any] = leaving.steps

    def steps(*times: Any) -> list[stepping.Step]:
        return [killing(step, when) if step.name == name else step for step in real(*times)]

    setattr(leaving, "steps", steps)  # noqa: B010 - mypy knows that the name is not to be replaced
    host, clock = NodeHost(root), Clock()
    with host.lock("/run/mailimg/lock"):
        try:
            leaving.leave(host, clock, Report(host, clock, leaving=True), preparing.Options())
        except Exception as error:  # noqa: BLE001 - as cli.main
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
