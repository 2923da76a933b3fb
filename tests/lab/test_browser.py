"""The browser of the webmail's checks: it believes the one authority it is given, and nothing of it stays."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mailimg.errors import StepError
from mailimg.lab.browser import Chromium
from mailimg.peers.authority import Authority

pytestmark = pytest.mark.lab

PAGE = b"<title>post</title><p>Gr&uuml;&szlig;e</p><script>console.error('went wrong')</script>"


class Site(BaseHTTPRequestHandler):
    """One page, and 404 for everything else."""

    def do_GET(self) -> None:
        found = self.path == "/"
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE if found else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """The browser's console has it."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    """A site whose certificate is of the authority."""
    made = authority.issue("localhost", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"https://localhost:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def unused() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def started(pid: int) -> set[int]:
    """The process ids of all that a process has started, and so on; an orphan stays within its namespace."""
    own = set()
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            own |= {int(child) for child in path.read_text().split()}
    return own.union(*map(started, own))


def running(processes: set[int]) -> set[int]:
    """Those which are still there."""
    return {pid for pid in processes if Path(f"/proc/{pid}").exists()}


def test_a_page_in_a_sandbox_and_nothing_afterwards(authority: Authority, url: str, tmp_path: Path) -> None:
    files = set(Path("/tmp").iterdir())
    with Chromium(tmp_path, authority.file) as chromium:
        chromium.open(url)
        assert (chromium.driver.title, chromium.driver.find_element("tag name", "p").text) == ("post", "Grüße")
        told = chromium.console()
        assert any("went wrong" in line for line in told), told
        assert all(line.startswith(("SEVERE ", "WARNING ", "INFO ", "DEBUG ")) for line in told)
        assert chromium.console() == []
        chromium.open("chrome://sandbox")
        assert "You are adequately sandboxed." in chromium.driver.find_element("tag name", "body").text
        assert chromium.process is not None
        mine = started(chromium.process.pid)
        assert len(mine) > 3, "the driver, the browser and what renders pages: else the search is blind"
    deadline = time.monotonic() + 10
    while (left := running(mine)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == set()
    assert {path for path in set(Path("/tmp").iterdir()) - files if "chrom" in path.name} == set()


def test_another_authority_is_not_believed(url: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority(other, name="a stranger")
    with Chromium(tmp_path, stranger.file) as chromium:
        with pytest.raises(StepError) as caught:
            chromium.open(url)
        assert caught.value.message == f"open {url}: NET::ERR_CERT_AUTHORITY_INVALID"
        with pytest.raises(StepError) as caught:
            chromium.open(f"https://127.0.0.1:{unused()}/")
        assert "ERR_CONNECTION_REFUSED" in caught.value.message


def test_a_browser_that_cannot_start_says_why(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("no certificate\n")
    with pytest.raises(StepError) as caught, Chromium(tmp_path, nonsense):
        pass
    assert caught.value.message == "start chromedriver: it does not listen"
    assert any("certutil" in line for line in caught.value.tail), caught.value.tail
