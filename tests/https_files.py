"""An HTTPS server on loopback whose certificate is of an authority of its own, with one file that a test decides on."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mailimg.peers.authority import Authority

NAME = "localhost"


class HttpsFiles:
    """The server; it listens while it is `up`.

    Attributes:
        content: what every path holds.
        status: of every answer.
        promised: the length that it says it sends; None: the true one.
        ca: what clients must trust, PEM.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.content = b""
        self.status = 200
        self.promised: int | None = None
        self.asked = 0
        self.authority = Authority(folder)
        self.ca = self.authority.pem
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.present(self.authority.issue(NAME).certificate)
        with self._bind() as probe:
            self.port = int(probe.server_address[1])
        self.url = f"https://{NAME}:{self.port}/layer"

    def present(self, certificate: Path) -> None:
        """Take another certificate of its authority for itself."""
        self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    def _bind(self, port: int = 0) -> ThreadingHTTPServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                if 300 <= outer.status < 400:
                    self.send_header("Location", outer.url + "-elsewhere")
                length = len(outer.content) if outer.promised is None else outer.promised
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(outer.content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_request: object) -> None:
                """A client that hangs up, as one must that does not trust us, is no news."""

        return Server(("127.0.0.1", port), Handler)

    @contextmanager
    def up(self) -> Iterator[None]:
        """Listen."""
        server = self._bind(self.port)
        server.socket = self._context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
