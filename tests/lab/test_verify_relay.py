"""The relay between a verification and services outside of it; real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailimg.peers.relay import Relay, connected

pytestmark = pytest.mark.lab

SIZE = 3 << 20


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A service that sends everything back, and ends when its client has."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                whole = b""
                while piece := connection.recv(65536):
                    whole += piece
                connection.sendall(whole)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_bytes_go_through_both_relays_and_so_does_the_end(echo: tuple[str, int], tmp_path: Path) -> None:
    inner = ("127.0.0.1", free_port())
    relays = [Relay(tmp_path / "out", echo), Relay(inner, tmp_path / "out")]
    for relay in relays:
        relay.start()
    try:
        sent = bytes(range(256)) * (SIZE // 256)
        for _ in range(3):
            with connected(inner) as client:
                client.settimeout(20)
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                got = b""
                while piece := client.recv(65536):
                    got += piece
            assert got == sent
    finally:
        for relay in relays:
            relay.stop()
            relay.stop()
    with pytest.raises(OSError, match="refused"):
        connected(inner)


def test_nobody_behind_it_is_a_connection_that_ends(tmp_path: Path) -> None:
    inner = ("127.0.0.1", free_port())
    relay = Relay(inner, tmp_path / "nobody")
    relay.start()
    try:
        with connected(inner) as client:
            client.settimeout(20)
            assert client.recv(1) == b""
    finally:
        relay.stop()
