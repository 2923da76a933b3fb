"""The load balancer of a lab: HAProxy, with what role.yaml says of ports, persistence and peers."""

from __future__ import annotations

import socket
from pathlib import Path

from mailimg.lab import addresses as at
from mailimg.lab.plan import Plan, Vip, VipPort
from mailimg.peers import addresses as names
from mailimg.peers.daemon import Daemon, until_port

METHODS = {"round-robin": "roundrobin", "least-connections": "leastconn"}
# Seconds; as an Octavia monitor, but asked more often: a rehearsal should not wait.
DELAY, TIMES_DOWN, TIMES_UP = 2, 2, 1
IDLE = "35m"  # IMAP's IDLE may be silent for 29 minutes (RFC 2177)


def config(plan: Plan, counts: Path) -> str:
    """The text of haproxy.cfg; `counts`: its socket for questions."""
    lines = [
        "global",
        "    log stdout format raw local0",
        f"    stats socket {counts} mode 600 level admin",
        "    maxconn 8000",
        "defaults",
        "    mode tcp",
        "    log global",
        "    option tcplog",
        "    option redispatch",
        "    retries 2",
        "    timeout connect 5s",
        "    timeout check 5s",
        f"    timeout client {IDLE}",
        f"    timeout server {IDLE}",
    ]
    for vip in plan.vips:
        for port in vip.ports:
            lines += ["", *_listener(plan, vip, port)]
    return "\n".join(lines) + "\n"


def _listener(plan: Plan, vip: Vip, port: VipPort) -> list[str]:
    lines = [
        f"listen {vip.name}.{port.name}",
        f"    bind {vip.address4}:{port.port}",
        f"    bind [{vip.address6}]:{port.port}",
        f"    balance {METHODS[port.balance]}",
    ]
    if port.peers == "servers":
        # As the listener's allowed networks do in a cloud.
        lines.append(f"    tcp-request connection reject unless {{ src {at.NETWORK4} {at.NETWORK6} }}")
    if port.persistence == "source-ip":
        lines += ["    stick-table type ipv6 size 100k expire 30m", "    stick on src"]
    if port.check == "smtp":
        lines.append(f"    option smtpchk EHLO balancer.{names.CLOUD_DOMAIN}")
    lines += [f"    server {node.name} {node.address4}:{port.port} source {at.BALANCER4} check inter {DELAY}s "
              f"fall {TIMES_DOWN} rise {TIMES_UP}" for node in plan.of(vip.role)]
    return lines


def parse_stats(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """`show stat` as rows by listener and server (`FRONTEND`, `BACKEND` or a node)."""
    header, *rows = [line.rstrip(",").split(",") for line in text.lstrip("# ").splitlines() if line]
    return {(row[0], row[1]): dict(zip(header, row, strict=False)) for row in rows}


def stats(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """What the running balancer counts: `status` (UP, DOWN), `stot` (sessions so far), `scur` (now), and more.

    Args:
        folder: the balancer's, below that of the lab.

    Raises:
        OSError: it does not run.
    """
    return parse_stats(order(folder, "show stat"))


def order(folder: Path, command: str) -> str:
    """What the running balancer answers to a command of its own (`disable server imap.imap/pop-imap-lda-1`).

    Raises:
        OSError: it does not run.
    """
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(10)
        made.connect(str(folder / "stats"))
        made.sendall(f"{command}\n".encode())
        with made.makefile("rb") as stream:
            return stream.read().decode()


def forget(folder: Path, plan: Plan) -> None:
    """Forget which client belongs to which member, as half an hour without him does.

    Raises:
        OSError: it does not run.
    """
    for vip in plan.vips:
        for port in vip.ports:
            if port.persistence == "source-ip":
                order(folder, f"clear table {vip.name}.{port.name}")


class Balancer(Daemon):
    """HAProxy on the virtual addresses; what it says of connections and members is in its log."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        super().__init__("balancer", folder)
        folder.mkdir()
        self.plan = plan
        # Short: a socket's path has room for 107 bytes.
        self.config = folder / "haproxy.cfg"
        self.config.write_text(config(plan, folder / "stats"))

    def start(self) -> None:
        """Start and wait until all virtual addresses listen."""
        self.launch(["haproxy", "-db", "-f", str(self.config)])
        for vip in self.plan.vips:
            until_port(self, vip.address4, vip.ports[0].port)
