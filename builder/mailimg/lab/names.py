"""DNS of a lab: the platform, its virtual addresses, and the mail domains of the Internet."""

from __future__ import annotations

from pathlib import Path

from mailimg.lab import addresses as at
from mailimg.lab.plan import Plan
from mailimg.peers import addresses as names
from mailimg.peers.names import frame, txt_record


def config(plan: Plan, log: Path, dkim_record: str) -> str:
    """The text of dnsmasq's configuration."""
    lines = frame(log, (at.GATEWAY4, at.GATEWAY6), at.DC4)
    hosts: list[tuple[str, ...]] = [
        (f"{node.name}.{names.CLOUD_DOMAIN}", node.address4, node.address6) for node in plan.nodes]
    hosts += [(vip.host, vip.address4, vip.address6) for vip in plan.vips]
    hosts += [
        (f"balancer.{names.CLOUD_DOMAIN}", at.BALANCER4),
        (f"nfs.{names.CLOUD_DOMAIN}", at.pair(at.STORAGE)[0]),
        (names.FILES_NAME, at.GATEWAY4),
        (names.SENDER_NAME, at.SENDER4, at.SENDER6),
        (at.RECEIVER_NAME, at.RECEIVER4),
        ("pc-17.home", at.HOME4),
    ]
    lines += [f"host-record={','.join(host)}" for host in hosts]
    lines += [
        f"mx-host={names.DOMAIN},{at.MX_NAME},10",
        f"mx-host={names.SENDER_DOMAIN},{names.SENDER_NAME},10",
        f"mx-host={names.FORGED_DOMAIN},{names.SENDER_NAME},10",
        f"mx-host={names.FOREIGN_DOMAIN},{at.RECEIVER_NAME},10",
    ]
    out = plan.of("smtp-out")
    mine = " ".join(f"ip4:{node.address4} ip6:{node.address6}" for node in out)
    lines += [
        txt_record(names.DOMAIN, f"v=spf1 {mine} -all"),
        txt_record(names.SENDER_DOMAIN, f"v=spf1 ip4:{at.SENDER4} ip6:{at.SENDER6} -all"),
        txt_record(names.FOREIGN_DOMAIN, f"v=spf1 ip4:{at.RECEIVER4} -all"),
        txt_record(names.FORGED_DOMAIN, "v=spf1 -all"),
        txt_record(at.DKIM_NAME, dkim_record),
    ]
    return "\n".join(lines) + "\n"
