"""The stand-in's archive over HTTPS on loopback, with faults that a test switches on and off."""

from __future__ import annotations

import fnmatch
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from standin.archive import FOLDERS
from standin.keys import issue

# A client that says nothing must not keep the server from ending.
SILENCE_SECONDS = 20
IMAGE_FOLDER = "images"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Rule:
    """What happens to requests whose path matches a pattern (fnmatch)."""

    pattern: str
    status: int | None = None
    corrupt: bool = False
    seconds: float = 0.0


@dataclass
class Faults:
    """Faults that are on.

    Patterns match the path of a URL: `/one/*/Packages/postfix-*`; the first part is the mirror.
    """

    rules: list[Rule] = field(default_factory=list)

    def answer(self, pattern: str, status: int) -> None:
        """Answer with a status instead of the file: 403, 404, 500."""
        self.rules.append(Rule(pattern, status=status))

    def corrupt(self, pattern: str) -> None:
        """Change one byte in the middle of the file: its size is right, its checksum is not."""
        self.rules.append(Rule(pattern, corrupt=True))

    def slow(self, pattern: str, seconds: float) -> None:
        """Wait before the answer; the end of the server ends the wait."""
        self.rules.append(Rule(pattern, seconds=seconds))

    def clear(self) -> None:
        """All is well again."""
        self.rules.clear()

    def of(self, path: str) -> list[Rule]:
        """Rules that match a path."""
        return [rule for rule in self.rules if fnmatch.fnmatchcase(path, rule.pattern)]


@dataclass(frozen=True)
class Server:
    """A running server.

    Each mirror, whatever its name, has the whole archive: two names are two URLs that faults can tell apart.

    Attributes:
        ca: certificate of the authority that signed its own.
        requests: what was asked: scheme, path, status; or `tls` and why for a client that broke off the handshake.
    """

    port: int
    plain_port: int
    ca: Path
    image: str
    faults: Faults
    requests: list[tuple[str, str, int | str]]

    def url(self, repo: str, mirror: str = "one") -> str:
        """Base URL of a repository."""
        return f"https://127.0.0.1:{self.port}/{mirror}/{FOLDERS[repo]}/"

    def plain_url(self, repo: str, mirror: str = "one") -> str:
        """The same by http: every request is redirected to https."""
        return f"http://127.0.0.1:{self.plain_port}/{mirror}/{FOLDERS[repo]}/"

    def mirror(self, mirror: str = "one") -> str:
        """What `--mirror` takes: the root of the point release, with os/, updates/ and extras/ below it."""
        return self.url("base", mirror).removesuffix("os/x86_64/")

    def image_url(self, mirror: str = "one") -> str:
        """URL of the base image."""
        return f"https://127.0.0.1:{self.port}/{mirror}/{IMAGE_FOLDER}/{self.image}"

    def asked(self, part: str) -> list[tuple[str, str, int | str]]:
        """Requests whose path holds a text."""
        return [request for request in self.requests if part in request[1]]


class Listener(ThreadingHTTPServer):
    """One port. With a TLS context the handshake is each connection's own thread's business."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler], state: State, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.state = state
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        request.settimeout(SILENCE_SECONDS)
        if self.context is not None:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError as error:
                # It does not trust us, and says so or just leaves.
                self.state.requests.append(("tls", "", str(error)))
                return
        with request, suppress(OSError):
            super().finish_request(request, client_address)


@dataclass
class State:
    """What all connections of a server share."""

    root: Path
    image: Path
    faults: Faults
    requests: list[tuple[str, str, int | str]]
    stopping: threading.Event
    secure_port: int = 0

    def file(self, path: str) -> Path | None:
        """The file that a URL's path names, if there is one."""
        _, _, inner = path.lstrip("/").partition("/")
        if inner == f"{IMAGE_FOLDER}/{self.image.name}":
            return self.image
        found = (self.root / inner).resolve()
        return found if found.is_relative_to(self.root) and found.is_file() else None


class Handler(BaseHTTPRequestHandler):
    """Serves files, one request a connection."""

    server: Listener

    def do_GET(self) -> None:
        """Answer with the file, or with what a fault says."""
        state = self.server.state
        path = unquote(urlsplit(self.path).path)
        rules = state.faults.of(path)
        for rule in rules:
            state.stopping.wait(rule.seconds)
        status = next((rule.status for rule in rules if rule.status), None)
        found = state.file(path)
        if status is None and found is None:
            status = HTTPStatus.NOT_FOUND
        state.requests.append(("https", path, int(status or HTTPStatus.OK)))
        if status is not None or found is None:
            self.send_error(int(status or HTTPStatus.NOT_FOUND))
            return
        size = found.stat().st_size
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command == "HEAD":
            return
        wrong = size // 2 if any(rule.corrupt for rule in rules) else -1
        with found.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                start = stream.tell() - len(chunk)
                if start <= wrong < stream.tell():
                    damaged = bytearray(chunk)
                    damaged[wrong - start] ^= 0xFF
                    chunk = bytes(damaged)
                self.wfile.write(chunk)

    do_HEAD = do_GET  # noqa: N815 - the base class names it so

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing on standard error: `Server.requests` tells."""


class Redirector(Handler):
    """Sends everybody to https, as the real archives do now and then."""

    def do_GET(self) -> None:
        """Redirect."""
        state = self.server.state
        state.requests.append(("http", urlsplit(self.path).path, int(HTTPStatus.MOVED_PERMANENTLY)))
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", f"https://127.0.0.1:{state.secure_port}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the base class names it so


@contextmanager
def serve(archive_root: Path, image: Path, authority: Path) -> Iterator[Server]:
    """Serve an archive and a base image until the block ends.

    Args:
        authority: certificate of who signs the server's; its key lies beside it (keys.make_authority).
    """
    with tempfile.TemporaryDirectory(prefix="mailimg-stand-in-") as folder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issue(authority, Path(folder)))
    # CentOS 7 can no more than this.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    state = State(archive_root.resolve(), image, Faults(), [], threading.Event())
    secure, plain = Listener(Handler, state, context), Listener(Redirector, state, None)
    state.secure_port = port_of(secure.socket)
    threads = [threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}) for each in (secure, plain)]
    try:
        for thread in threads:
            thread.start()
        yield Server(state.secure_port, port_of(plain.socket), authority, image.name, state.faults, state.requests)
    finally:
        state.stopping.set()
        for each in (secure, plain):
            each.shutdown()
            # Waits for the connections that are still open.
            each.server_close()
        for thread in threads:
            thread.join()


def port_of(listening: socket.socket) -> int:
    """The port that the kernel chose."""
    return int(listening.getsockname()[1])
