"""TCP across the border of a verification: connections taken at one place go on to another.

A network namespace has no way out, but a socket in the filesystem does not know of networks: one relay outside leads
from such a socket to a service, one inside from a port of the bridge to the socket. Bytes are not looked at, so TLS
stays between the two ends.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from pathlib import Path

Place = tuple[str, int] | Path

CONNECT_SECONDS = 20.0
CHUNK = 1 << 16


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


class Relay:
    """Takes connections at `door` while it runs, and leads each to `target`, or hangs up when nobody is there."""

    def __init__(self, door: Place, target: Place) -> None:
        self.door = door
        self.target = target
        self.server: socketserver.BaseServer | None = None

    def start(self) -> None:
        """Listen."""
        target = self.target

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError), connected(target) as other:
                    back = threading.Thread(target=pump, args=(other, self.request), daemon=True)
                    back.start()
                    pump(self.request, other)
                    back.join()

        if isinstance(self.door, Path):
            self.server = _UnixServer(str(self.door), Handler)
        else:
            self.server = _TcpServer(self.door, Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def stop(self) -> None:
        """Take no more connections; nothing happens when it does not run."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


def connected(place: Place) -> socket.socket:
    """A connection to a place.

    Raises:
        OSError: nobody is there.
    """
    if not isinstance(place, Path):
        made = socket.create_connection(place, timeout=CONNECT_SECONDS)
        made.settimeout(None)
        return made
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(str(place))
    except OSError:
        made.close()
        raise
    return made


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Hand on what comes until its end, and then the end."""
    with suppress(OSError):
        while piece := source.recv(CHUNK):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
