"""Files from real web servers on loopback: what arrives, and the words for what does not."""

from __future__ import annotations

import io
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mailimg import web
from mailimg.peers.authority import Authority

pytestmark = pytest.mark.lab


class Handler(BaseHTTPRequestHandler):
    """`/file` is there; everything else is some kind of trouble."""

    def do_GET(self) -> None:
        if self.path == "/file":
            self.answer(200, b"content")
        elif self.path == "/half":
            self.answer(200, b"con", length=7)
        elif self.path.startswith("/to/"):
            self.send_response(301)
            self.send_header("Location", self.path[len("/to/"):])
            self.end_headers()
        else:
            self.answer(403 if self.path == "/forbidden" else 404, b"no")

    def answer(self, code: int, content: bytes, length: int | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def plain() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """URL of a server with a certificate, and the file of who signed it."""
    authority = Authority(tmp_path)
    pair = authority.issue("archive.example.org", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with serving(context) as url:
        yield url, authority.file


def test_a_file(plain: str) -> None:
    assert web.read(f"{plain}/file") == b"content"
    assert web.read(f"{plain}/to/{plain}/file") == b"content"
    target, told = io.BytesIO(), []
    web.download(f"{plain}/file", target, told.append)
    assert (target.getvalue(), told) == (b"content", [7])


@pytest.mark.parametrize(("path", "words"), [("forbidden", "403 Forbidden"), ("nothing", "404 Not Found")])
def test_a_file_that_is_not_given(plain: str, path: str, words: str) -> None:
    with pytest.raises(web.UnreachableError, match=f"^{words}$"):
        web.read(f"{plain}/{path}")


def test_half_a_file(plain: str) -> None:
    with pytest.raises(web.UnreachableError, match=r"ended after 3 of 7 bytes|IncompleteRead"):
        web.download(f"{plain}/half", io.BytesIO(), lambda _: None)


def test_nobody_answers(plain: str) -> None:
    with serving() as gone:
        pass
    with pytest.raises(web.UnreachableError, match="Connection refused"):
        web.read(f"{gone}/file")


def test_a_redirect_between_http_and_https_names_the_other_url(plain: str, secure: tuple[str, Path]) -> None:
    url, ca = secure
    with pytest.raises(web.UnreachableError, match=rf"^it redirects to {url}/file, which yum of CentOS 7 does not"):
        web.read(f"{plain}/to/{url}/file")
    with pytest.raises(web.UnreachableError, match=r"^it redirects to http:.*, away from https$"):
        web.read(f"{url}/to/{plain}/file", ca=ca)


def test_a_certificate_is_checked(secure: tuple[str, Path]) -> None:
    url, ca = secure
    assert web.read(f"{url}/file", ca=ca) == b"content"
    with pytest.raises(web.UnreachableError, match="certificate verify failed"):
        web.read(f"{url}/file")
