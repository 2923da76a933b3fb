"""A site's file server of a verification: HTTPS, with a certificate of the verification's authority."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority
from mailimg.peers.sink import context_of

PORT = 8443


class Files:
    """The server; `content` is what it has by path, `asked` the paths that were asked for."""

    def __init__(self, authority: Authority, address: str = at.HOST4) -> None:
        self.address = address
        self.content: dict[str, bytes] = {}
        self.asked: list[str] = []
        self._certificate = authority.issue(at.FILES_NAME, address)
        self._server: ThreadingHTTPServer | None = None

    @property
    def serving(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def put(self, path: str, content: bytes) -> str:
        """Offer a file; returns its URL."""
        self.content[path] = content
        return f"https://{at.FILES_NAME}:{PORT}{path}"

    def start(self) -> None:
        """Listen."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 20

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                content = outer.content.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """`asked` has it."""

        self._server = ThreadingHTTPServer((self.address, PORT), Handler)
        self._server.socket = context_of(self._certificate).wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def stop(self) -> None:
        """Close the port; nothing happens when it does not run."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
