"""Package sources: what of the host's own configuration a build takes, and what it refuses."""

from __future__ import annotations

import email.message
import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from mailimg import apt, process
from mailimg.apt import Archive
from mailimg.errors import InputError, StepError

SUITES = ("bookworm", "bookworm-updates", "bookworm-security")
TARGETS = """\
http://mirror.example.org/debian/ bookworm main
http://mirror.example.org/debian/ bookworm contrib
http://second.example.org/debian/ bookworm main
http://mirror.example.org/debian/ trixie main
https://tools.example.org/apt nodistro main

http://mirror.example.org/debian-security/ bookworm-security main
http://mirror.example.org/debian/ bookworm-updates main
half a line
"""
IN_RELEASE = b"""\
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

Origin: Example
Suite: stable
Date: Sat, 17 May 2025 09:12:34 UTC
"""


def test_targets_are_cut_down_to_the_first_archive_of_each_suite() -> None:
    assert apt.parse_targets(TARGETS, SUITES, "main") == (
        Archive("http://mirror.example.org/debian", "bookworm", "main"),
        Archive("http://mirror.example.org/debian", "bookworm-updates", "main"),
        Archive("http://mirror.example.org/debian-security", "bookworm-security", "main"),
    )
    assert apt.parse_targets("", SUITES, "main") == ()


def test_mirror_serves_security_beside_itself() -> None:
    assert [archive.line for archive in apt.from_mirror("https://mirror.example.org/debian/", SUITES, "main")] == [
        "deb https://mirror.example.org/debian bookworm main",
        "deb https://mirror.example.org/debian bookworm-updates main",
        "deb https://mirror.example.org/debian-security bookworm-security main",
    ]


def test_environment_is_what_the_elements_read() -> None:
    sources = apt.AptSources(apt.from_mirror("http://m.example.org", SUITES[:2], "main"), ("a;", "b;"))
    assert sources.environment() == {
        "MAILIMG_APT_SOURCES": "deb http://m.example.org bookworm main\ndeb http://m.example.org bookworm-updates main",
        "MAILIMG_APT_CONF": "a;\nb;",
    }


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ('Acquire::http::Proxy "http://proxy.example.org:3128";', True),
        ('Acquire::https::Proxy::mirror.example.org "DIRECT";', True),
        ('Acquire::Check-Valid-Until "false";', True),
        ('Acquire::Retries "3";', True),
        ('Acquire::http::Timeout "20";', True),
        ('Acquire::http::Proxy "";', False),
        ('Acquire::http::Proxy-Auto-Detect "/usr/bin/detect";', False),
        ('Acquire::Languages:: "de";', False),
        ('Acquire::AllowInsecureRepositories "true";', False),
        ('APT::Get::Assume-Yes "true";', False),
    ],
)
def test_settings_of_the_host(monkeypatch: pytest.MonkeyPatch, line: str, taken: bool) -> None:
    answer(monkeypatch, f"Acquire \"\";\n{line}\n")
    assert apt.host_settings() == ((line,) if taken else ())


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let every program that is asked say this."""

    class Answer:
        stdout = text

    monkeypatch.setattr(process, "run", lambda *_args, **_words: Answer)
    monkeypatch.setattr(process, "which", lambda name: f"/usr/bin/{name}")


@pytest.mark.parametrize(
    "mirror",
    ["mirror.example.org", "ftp://mirror.example.org/x", "http://", "/srv/mirror", "", "http://[::1", "http://a b/"],
)
def test_mirror_must_be_a_url(mirror: str) -> None:
    with pytest.raises(InputError) as caught:
        apt.sources(SUITES, "main", mirror)
    assert caught.value.problems == (f"--mirror {mirror!r} is not an http or https URL",)


@pytest.mark.parametrize("user", ["user:hunter2", "token"])
def test_credentials_in_the_url_are_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    answer(monkeypatch, f"https://{user}@mirror.example.org/debian bookworm main\n")
    for mirror in (f"https://{user}@mirror.example.org/debian", None):
        with pytest.raises(InputError, match="holds a user name or password, which would stand in every") as caught:
            apt.sources(("bookworm",), "main", mirror)
        assert user not in str(caught.value) + caught.value.hint


def test_suite_that_the_host_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, TARGETS)
    with pytest.raises(InputError) as caught:
        apt.sources(("bookworm", "bookworm-backports", "sid"), "main", None)
    assert caught.value.problems == ("this host's apt has no source for bookworm-backports, sid (main)",)
    assert "--mirror URL" in caught.value.hint


def test_sources_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, TARGETS + 'Acquire::Retries "3";\n')
    found = apt.sources(SUITES, "main", None)
    assert [archive.suite for archive in found.archives] == list(SUITES)
    assert found.conf == ('Acquire::Retries "3";',)


def test_date_of_an_index() -> None:
    assert apt.index_date(IN_RELEASE) == 1747473154
    assert apt.index_date(b"Origin: Example\n") == 0
    assert apt.index_date(b"Date: yesterday\n") == 0
    assert apt.index_date(b"\xff\n" + IN_RELEASE) == 1747473154


class Web:
    """Stands for the network: URL to bytes, or to the error that asking for it raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pages: dict[str, bytes | Exception]) -> None:
        self.pages = pages
        monkeypatch.setattr(urllib.request.OpenerDirector, "open",
                            lambda _, request, timeout: self.open(request, timeout))

    def open(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        assert timeout <= 60, "an unreachable mirror must be said soon"
        page = self.pages[request.full_url]
        if isinstance(page, Exception):
            raise page
        return io.BytesIO(page)


ONE, TWO = Archive("http://m.example.org/d", "one", "main"), Archive("http://m.example.org/d", "two", "main")
URL = "http://m.example.org/d/dists/{}/InRelease"


def test_state_of_an_index_follows_each_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    later = IN_RELEASE.replace(b"17 May", b"18 May")
    web = Web(monkeypatch, {URL.format("one"): IN_RELEASE, URL.format("two"): later})
    first = apt.index_state([ONE, TWO])
    assert first.epoch == 1747473154, "the release's own date; updates are signed anew all the time"
    assert apt.index_state([ONE, TWO]) == first
    web.pages[URL.format("one")] = IN_RELEASE + b"more"
    assert apt.index_state([ONE, TWO]).digest != first.digest


LISTS = b"""\
MD5Sum:
 00000000000000000000000000000000 1 main/binary-amd64/Packages
SHA256:
 1111 100 main/binary-amd64/Packages
 2222 100 main/binary-amd64/Packages.xz
 3333 100 main/binary-all/Packages
 4444 100 main/source/Sources
 5555 100 contrib/binary-amd64/Packages
-----BEGIN PGP SIGNATURE-----
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (b"17 May", b"18 May", True),
        (b"4444", b"eeee", True),
        (b"5555", b"eeee", True),
        (b"00000000", b"eeeeeeee", True),
        (b"1111", b"eeee", False),
        (b"3333", b"eeee", False),
    ],
)
def test_only_the_lists_of_packages_count(old: bytes, new: bytes, same: bool) -> None:
    """An archive that is signed anew with the same packages rebuilds nothing; a new package rebuilds."""
    index = IN_RELEASE + LISTS
    assert (apt.package_lists(index.replace(old, new), "main") == apt.package_lists(index, "main")) is same


def refuse() -> Exception:
    return urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))


def not_found() -> Exception:
    return urllib.error.HTTPError(URL.format("one"), 404, "Not Found", email.message.Message(), None)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (refuse, "cannot read the package index {}: [Errno 111] Connection refused"),
        (not_found, "cannot read the package index {}: 404 Not Found"),
        (lambda: TimeoutError("timed out"), "cannot read the package index {}: timed out"),
        (lambda: http.client.IncompleteRead(b"", 9), "cannot read the package index {}: IncompleteRead(0 bytes read"),
        (lambda: b"<html>Please log in</html>", "{} is no package index"),
    ],
)
def test_unreachable_mirror(monkeypatch: pytest.MonkeyPatch, page: Callable[[], bytes | Exception], words: str) -> None:
    Web(monkeypatch, {URL.format("one"): page()})
    with pytest.raises(StepError) as caught:
        apt.index_state([ONE])
    assert caught.value.message.startswith(words.format(URL.format("one")))
    assert caught.value.exit_code == 1
    assert "--mirror URL" in caught.value.hint
