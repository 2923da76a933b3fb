"""The agent and a real metadata service on loopback: late, failing, cut off, absent."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mailimg_firstboot import sources
from mailimg_firstboot.errors import DocumentError, FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.waiting import Clock

pytestmark = pytest.mark.lab

META = json.dumps({"uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "hostname": "mx-1"}).encode()
SITE = b"mailimg: 1\ndomains: [example.org]\n"

Serve = Callable[[BaseHTTPRequestHandler, str], None]


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def service(port: int, serve: Serve, after: float = 0.0) -> Iterator[None]:
    """A service that begins to listen `after` seconds from now."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serve(self, self.path.rsplit("/", 1)[-1])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    held: list[ThreadingHTTPServer] = []
    stop = threading.Event()

    def run() -> None:
        if stop.wait(after):
            return
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        held.append(server)
        server.serve_forever(poll_interval=0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        for server in held:
            server.shutdown()
            server.server_close()
        thread.join()


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", length: int | None = None) -> None:
    """One answer; `length` may promise more than there is."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def whole(handler: BaseHTTPRequestHandler, name: str) -> None:
    """A service in order."""
    files = {"meta_data.json": META, "user_data": SITE}
    if name in files:
        answer(handler, 200, files[name])
    else:
        answer(handler, 404)


def find(tmp_path: Path, port: int, patience: float) -> tuple[sources.metadata.Metadata, list[str]]:
    """Ask as the agent does; the words of its waits."""
    waits: list[str] = []
    found = sources.find(
        Host(str(tmp_path)), Clock(), patience, lambda _: None, waits.append, f"http://127.0.0.1:{port}/openstack/latest/"
    )
    return found, waits


def test_a_service_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    begun = time.monotonic()
    with service(port, whole, after=1.0):
        found, waits = find(tmp_path, port, patience=20)
    assert time.monotonic() - begun >= 1.0
    assert found.hostname == "mx-1"
    assert found.document == {"mailimg": 1, "domains": ["example.org"]}
    assert waits
    assert re.search(r"Connection refused; again in 0\.[2-5] s, deadline in 20 s", waits[0])


def test_a_failing_service_is_asked_again(tmp_path: Path) -> None:
    failures = iter([503, 500])

    def serve(handler: BaseHTTPRequestHandler, name: str) -> None:
        status = next(failures, None)
        if status is None:
            whole(handler, name)
        else:
            answer(handler, status)

    port = free_port()
    with service(port, serve):
        found, waits = find(tmp_path, port, patience=20)
    assert found.hostname == "mx-1"
    assert [word for word in ("503", "500") if any(word in wait for wait in waits)] == ["503", "500"]


def test_an_answer_that_is_cut_off_is_not_taken(tmp_path: Path) -> None:
    first = iter([True])

    def serve(handler: BaseHTTPRequestHandler, name: str) -> None:
        if name == "user_data" and next(first, False):
            answer(handler, 200, SITE[:9], length=len(SITE))
            handler.close_connection = True
        else:
            whole(handler, name)

    port = free_port()
    with service(port, serve):
        found, waits = find(tmp_path, port, patience=20)
    assert found.document["domains"] == ["example.org"]
    assert len(waits) == 1


def test_metadata_that_stays_truncated_ends_with_the_deadline(tmp_path: Path) -> None:
    port = free_port()
    with (
        service(port, lambda handler, _: answer(handler, 200, META[:20])),
        pytest.raises(FirstbootError, match=r"meta_data.json is cut off or not JSON.*tried \d+ times"),
    ):
        find(tmp_path, port, patience=1)


def test_nobody_there_ends_with_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(FirstbootError, match=r"Connection refused \(tried \d+ times in \d s\)"):
        find(tmp_path, free_port(), patience=1)


def test_no_user_data_is_final_at_once(tmp_path: Path) -> None:
    def serve(handler: BaseHTTPRequestHandler, name: str) -> None:
        answer(handler, 200, META) if name == "meta_data.json" else answer(handler, 404)

    port = free_port()
    begun = time.monotonic()
    with service(port, serve), pytest.raises(DocumentError, match="no site document in metadata: the server has no"):
        find(tmp_path, port, patience=30)
    assert time.monotonic() - begun < 10
