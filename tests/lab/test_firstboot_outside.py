"""What the agent says to the outside and hears from it: signals, the order to leave; and a run that is interrupted."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailimg_firstboot import signalling, wayout
from mailimg_firstboot.errors import CutError
from mailimg_firstboot.programs import Programs
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.waiting import Clock

pytestmark = pytest.mark.lab

TOKEN = "a token that nobody sees"


class Service(http.server.ThreadingHTTPServer):
    """Heat, and the metadata service: keeps what it is told, answers what `answers` say, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: list[tuple[str, str | None, Any]] = []
        self.answers = [200]
        self.meta: Any = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, self.headers["X-Auth-Token"], body))
        self.send_response(self.server.answers[0])
        if self.server.answers[0] == 302:
            self.send_header("Location", self.server.url + "elsewhere")
        if len(self.server.answers) > 1:
            self.server.answers.pop(0)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        content = json.dumps(self.server.meta).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send(url: str, patience: float = 20.0, **more: Any) -> list[str]:
    """Signal success; returns the warnings."""
    warned: list[str] = []
    site = {"signal": {"url": url, **more}}
    signalling.send(site, "", "an-instance", True, "ready", Clock(), warned.append, patience)
    return warned


def test_success_with_a_token(service: Service) -> None:
    assert send(service.url + "v1/signal", token=Secret(TOKEN)) == []
    assert service.told == [("/v1/signal", TOKEN, {
        "status": "SUCCESS", "reason": "ready", "data": "an-instance", "id": "an-instance"})]


def test_a_signed_url_needs_no_token(service: Service) -> None:
    assert send(service.url + "v1/signal?Signature=x%3D") == []
    assert service.told[0][:2] == ("/v1/signal?Signature=x%3D", None)


def test_what_is_transient_is_tried_again(service: Service) -> None:
    service.answers = [503, 500, 200]
    assert send(service.url) == []
    assert len(service.told) == 3


def test_what_is_refused_is_a_warning_without_the_url(service: Service) -> None:
    service.answers = [403]
    assert send(service.url + "?Signature=secret", token=Secret(TOKEN)) == [
        "signal: 403 Forbidden: Heat does not know how this boot ended"]
    assert len(service.told) == 1


def test_a_redirect_does_not_get_the_token(service: Service) -> None:
    service.answers = [302, 200]
    assert send(service.url, token=Secret(TOKEN)) == ["signal: 302 Found: Heat does not know how this boot ended"]
    assert len(service.told) == 1


def test_nobody_there() -> None:
    (warned,) = send("http://127.0.0.1:9/?Signature=secret", patience=1.0)
    assert warned.startswith("signal: Connection refused (tried ")
    assert "secret" not in warned


def test_no_signal_where_the_site_gives_none() -> None:
    signalling.send({}, "", "an-instance", True, "ready", Clock(), pytest.fail)


@pytest.mark.parametrize(("meta", "asked"), [
    ({"meta": {"mailimg:state": "drain"}}, True),
    ({"meta": {"mailimg:state": "drian"}}, False),
    ({"meta": {}}, False),
    ({}, False),
    ([], False),
])
def test_the_metadata_service_is_asked(service: Service, meta: Any, asked: bool) -> None:
    service.meta = meta
    assert wayout.is_asked(Clock(), service.url) is asked
    assert wayout.is_asked(Clock(), "http://127.0.0.1:9/") is False


def test_programs_of_all_threads_are_ended() -> None:
    """One that ignores SIGTERM, too; and none begins before `mend`."""
    programs = Programs()
    ended: list[str] = []

    def run(script: str) -> None:
        try:
            programs.run(["sh", "-c", script], "sleep", timeout=60.0)
        except CutError as error:
            ended.append(error.message)

    threads = [threading.Thread(target=run, args=(script,)) for script in (
        "sleep 50", "sleep 50 & wait", "trap '' TERM; sleep 50; sleep 50")]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    begun = time.monotonic()
    programs.cut()
    for thread in threads:
        thread.join(20.0)
    assert ended == ["sleep: cut off"] * 3
    assert time.monotonic() - begun < 12.0
    with pytest.raises(CutError, match="true: not begun"):
        programs.run(["true"], "true")
    programs.mend()
    assert programs.run(["true"], "true").status == 0


def test_a_wait_is_cut() -> None:
    clock = Clock()
    timer = threading.Timer(0.2, clock.cut)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(CutError):
        clock.sleep(30.0)
    assert time.monotonic() - begun < 5.0
    clock.mend()
    clock.sleep(0.01)
