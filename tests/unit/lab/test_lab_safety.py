"""What the safety checks read: sockets of a node, header fields of what leaves."""

from __future__ import annotations

import pytest

from mailimg.lab.checks import safety, traces

SOCKETS = """\
Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess
udp   UNCONN 0      0      127.0.0.53%lo:53         0.0.0.0:*
tcp   LISTEN 0      200          0.0.0.0:25         0.0.0.0:*
tcp   LISTEN 0      4096       127.0.0.1:10024      0.0.0.0:*
tcp   LISTEN 0      511                *:80               *:*
tcp   LISTEN 0      200             [::]:25            [::]:*
tcp   LISTEN 0      200            [::1]:7357          [::]:*
"""
NETWORKS = ("10.91.0.0/24", "fd00:91::/64")


def test_sockets() -> None:
    assert safety.parse_sockets(SOCKETS) == {
        ("udp", 53, True), ("tcp", 25, False), ("tcp", 10024, True), ("tcp", 80, False), ("tcp", 7357, True)}


@pytest.mark.parametrize(("found", "wrong"), [
    ({("tcp", 25, False), ("tcp", 24, True), ("udp", 53, True), ("udp", 323, True)}, []),
    ({("tcp", 25, False), ("tcp", 24, True), ("tcp", 144, False)}, ["tcp 144 is not named"]),
    ({("tcp", 25, False), ("tcp", 24, False)}, ["tcp 24 is not on loopback only"]),
    ({("tcp", 25, False), ("tcp", 24, True), ("udp", 53, False)}, ["udp 53 is not named"]),
    ({("tcp", 25, False), ("tcp", 24, True), ("udp", 111, False)}, ["udp 111 is not named"]),
    ({("tcp", 25, False), ("tcp", 24, True), ("udp", 25, False)}, []),
    ({("tcp", 25, False), ("tcp", 24, True), ("udp", 683, True)}, []),
    ({("tcp", 25, False), ("tcp", 24, True), ("udp", 683, False)}, ["udp 683 is not named"]),
    ({("tcp", 25, False), ("tcp", 24, True), ("udp", 5353, True)}, ["udp 5353 is not named"]),
    ({("tcp", 25, False)}, ["tcp 24 is named and does not listen"]),
])
def test_surplus(found: set[tuple[str, int, bool]], wrong: list[str]) -> None:
    assert safety.surplus(found, {24, 25}, {24}) == wrong


def message(*headers: str, body: str = "10.91.0.100 in a body is its writer's business\r\n") -> bytes:
    return ("\r\n".join(headers) + "\r\n\r\n" + body).encode()


@pytest.mark.parametrize("header", [
    "Received: from a.example (balancer [10.91.0.100])\r\n\tby mx.example (Postfix) with ESMTP id 1",
    "Received: from localhost ([127.0.0.1]) by mx.example with LMTP id 1",
    "Received: from a.example (unknown [IPv6:fd00:91::1f]) by mx.example",
    "X-Originating-IP: [192.0.2.10]",
    "X-Via: balancer.cloud.example.org",
])
def test_what_tells_of_the_inside(header: str) -> None:
    assert len(traces.told(message("Subject: x", header), NETWORKS)) == 1
    for kind in ("message/rfc822", "text/rfc822-headers"):
        notice = message("MIME-Version: 1.0", f"Content-Type: {kind}", body=message(header).decode())
        assert len(traces.told(notice, NETWORKS)) == 1


@pytest.mark.parametrize("header", [
    "Received: by smtp-out-1.cloud.example.org (Postfix) with ESMTPSA id 4jX; Sun, 22 Nov 2026 21:41:56 +0000 (UTC)",
    "Received: from mail.sender.example (mail.sender.example [198.51.100.25]) by mx.elsewhere.example",
    "User-Agent: Mail/1.10.91.0",
    "Remote-MTA: dns; 127.0.0.1",
])
def test_what_tells_nothing(header: str) -> None:
    assert traces.told(message("Subject: x", header), NETWORKS) == []
