"""What services say when they refuse, who uploads, and what a login lacks."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cloud_world import CREATED

from mailimg import process
from mailimg.cloud import connection, uploader
from mailimg.cloud.uploader import Mark
from mailimg.cloud.words import LONGEST, said

NOW = datetime(2026, 11, 22, 20, 20, tzinfo=UTC)


@pytest.mark.parametrize(("body", "words"), [
    ("<html>\n <head>\n  <title>413 Request Entity Too Large</title>\n </head>\n <body>\n  <h1>413 Request Entity Too"
     " Large</h1>\n  Image exceeds the storage quota: a &lt; b<br /><br />\n\n\n\n </body>\n</html>",
     "Image exceeds the storage quota: a < b"),
    ('{"error": {"code": 401, "message": "The request requires authentication.", "title": "Unauthorized"}}',
     "The request requires authentication"),
    ('{"faultcode": "Client", "faultstring": "It is immutable", "debuginfo": null}', "It is immutable"),
    ('{"itemNotFound": {"code": 404, "message": "Instance could not be found."}}', "Instance could not be found"),
    # Heat 26.0.2.
    ('{"code": 400, "title": "Bad Request", "explanation": "The server could not comply with the request since it is'
     ' either malformed or otherwise incorrect.", "error": {"type": "StackValidationFailed", "traceback": null,'
     ' "message": "Image 6bca requires 8 GB minimum\\n disk space. Flavor m1.small has only 0 GB."}}',
     "Image 6bca requires 8 GB minimum disk space. Flavor m1.small has only 0 GB"),
    ('{"code": 418, "title": "A teapot"}', "A teapot"),
    ('{"title": "Forbidden", "description": "Not allowed"}', "Not allowed"),
    ("", "Reason"), ("{}", "Reason"), ("[1, 2]", "Reason"), ("plain words\n", "plain words"),
    ("x" * 1000, "x" * LONGEST),
])
def test_refusals(body: str, words: str) -> None:
    assert said(body, "Reason") == words


@pytest.mark.parametrize(("text", "words"), [
    ("Unable to establish connection to https://c:5000/v3: HTTPSConnectionPool(host='c', port=5000): Max retries "
     "exceeded with url: /v3 (Caused by NewConnectionError(\"HTTPSConnection(host='c', port=5000): Failed to establish "
     'a new connection: [Errno 111] Connection refused"))',
     "Unable to establish connection to https://c:5000/v3: Connection refused"),
    ("SSL exception connecting to https://c/v2: HTTPSConnectionPool(host='c', port=443): Max retries exceeded with "
     "url: /v2 (Caused by SSLError(SSLEOFError(8, 'EOF occurred in violation of protocol (_ssl.c:2427)')))",
     "SSL exception connecting to https://c/v2: EOF occurred in violation of protocol"),
    ("two\n lines", "two lines"), ("", "Exception"),
])  # fmt: skip
def test_exceptions_in_a_line(text: str, words: str) -> None:
    assert connection.line(Exception(text)) == words


@pytest.mark.parametrize(("kind", "given", "lacking"), [
    ("password", {}, ["auth.auth_url (OS_AUTH_URL)", "auth.username (OS_USERNAME)", "auth.password (OS_PASSWORD)"]),
    ("v3password", {"auth_url": "u", "user_id": "i", "password": ""}, ["auth.password (OS_PASSWORD)"]),
    ("password", {"auth_url": "u", "username": "i", "password": "p"}, []),
    ("v3applicationcredential", {}, []),
])
def test_what_a_login_lacks(kind: str, given: dict[str, str], lacking: list[str]) -> None:
    assert connection.lacking(kind, given) == [f"{one} is missing" for one in lacking]


def test_passing_and_lasting_errors() -> None:
    assert [connection.CloudError("", status=status).passing for status in (0, 500, 503, 400, 401, 413)] == [
        True, True, True, False, False, False]
    assert not connection.NoServiceError("").passing
    assert not connection.LoginError("", status=401).passing


def test_a_mark_is_read_back() -> None:
    me = uploader.mine()
    assert Mark.read(str(me)) == me
    assert (me.pid, me.started) == (os.getpid(), process.start_time(os.getpid()))
    for text in ("", "a b c d", "a 1 2", "a 1 2 host more"):
        assert Mark.read(text) is None


def test_who_is_gone() -> None:
    me = uploader.mine()

    def gone(text: object, minutes: float = 10, *, abandoned: bool = False) -> bool:
        created = (NOW - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return uploader.gone(str(text), me, created, NOW, abandoned=abandoned)

    day = 24 * 60
    # Here a process can be asked for, however long it takes.
    assert not gone(me, day)
    assert gone(replace(me, pid=2**22 + 1), 0)
    # The number was given to another process.
    assert gone(replace(me, started=me.started - 1), 0)
    # Elsewhere there is only time, or somebody who knows.
    other = replace(me, machine="f" * 16)
    assert [gone(other, minutes) for minutes in (0, 5 * 60, 7 * 60)] == [False, False, True]
    assert gone(other, 0, abandoned=True)
    assert [gone("somebody's own words", minutes) for minutes in (0, day)] == [False, True]
    assert not gone(me, day, abandoned=True)


def test_time_of_glance() -> None:
    assert uploader.moment(CREATED) == datetime(2026, 11, 22, 20, 10, 31, tzinfo=UTC)
