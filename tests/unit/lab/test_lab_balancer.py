"""HAProxy's configuration, and what it counts."""

from __future__ import annotations

from pathlib import Path

from lab_world import made

from mailimg.lab import balancer


def listener(name: str) -> list[str]:
    """The lines of one listener."""
    text = balancer.config(made(), Path("/x/stats"))
    (block,) = [block for block in text.split("\n\n") if block.startswith(f"listen {name}\n")]
    return [line.strip() for line in block.splitlines()[1:]]


def test_every_port_of_every_virtual_address_listens() -> None:
    plan = made()
    text = balancer.config(plan, Path("/x/stats"))
    for vip in plan.vips:
        for port in vip.ports:
            assert f"    bind {vip.address4}:{port.port}\n" in text
            assert f"    bind [{vip.address6}]:{port.port}\n" in text


def test_mail_comes_from_anywhere_and_is_asked_for_in_smtp() -> None:
    assert listener("smtp-in.smtp") == [
        "bind 10.91.0.101:25", "bind [fd00:91::101]:25", "balance roundrobin",
        "option smtpchk EHLO balancer.cloud.example.org",
        "server smtp-in-1 10.91.0.11:25 source 10.91.0.100 check inter 2s fall 2 rise 1"]


def test_sessions_of_one_address_stay() -> None:
    found = listener("imap.imaps")
    assert found[2:5] == ["balance roundrobin", "stick-table type ipv6 size 100k expire 30m", "stick on src"]
    assert [line.split()[1] for line in found if line.startswith("server ")] == ["pop-imap-lda-1", "pop-imap-lda-2"]


def test_delivery_is_for_servers_only() -> None:
    rule = "tcp-request connection reject unless { src 10.91.0.0/24 fd00:91::/64 }"
    assert rule in listener("delivery.smtp")
    assert rule not in listener("smtp-out.submission")


def test_webmail_goes_where_least_is_done() -> None:
    assert "balance leastconn" in listener("webmail.https")


def test_counts_are_read_by_name() -> None:
    text = "# pxname,svname,scur,stot,status,\nimap.imaps,pop-imap-lda-1,1,17,UP,\nimap.imaps,BACKEND,1,17,UP,\n\n"
    found = balancer.parse_stats(text)
    assert found["imap.imaps", "pop-imap-lda-1"]["stot"] == "17"
    assert found["imap.imaps", "BACKEND"]["status"] == "UP"
