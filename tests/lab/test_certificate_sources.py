"""The layer's certificate from real sources: an HTTPS server with its own authority, PKCS#12 archives."""

from __future__ import annotations

import datetime
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificate_node import NAME, Node, both
from https_files import HttpsFiles

from mailimg.peers.authority import Authority, Certificate
from mailimg_firstboot.certificates import KEPT
from mailimg_firstboot.errors import GaveUpError, StepError
from mailimg_firstboot.report import read_status
from mailimg_firstboot.steps import certificate as certificate_step
from mailimg_firstboot.tls import download, pkcs12

pytestmark = pytest.mark.lab

PASSWORD = "open sesame 7"


@pytest.fixture
def files(tmp_path: Path) -> HttpsFiles:
    return HttpsFiles(tmp_path / "server")


@pytest.fixture
def source(files: HttpsFiles) -> Iterator[HttpsFiles]:
    with files.up():
        yield files


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A company's authority, with one between it and its servers."""
    folder = tmp_path_factory.mktemp("company")
    return Authority(folder, Authority(folder, name="company"), "company servers")


def node(tmp_path: Path, files: HttpsFiles, **more: Any) -> Node:
    return Node(tmp_path / "node", {"tls": {"url": files.url, "ca": files.ca, "names": [NAME], **more}})


def archive(one: Certificate, authority: Authority, folder: Path, *options: str, password: str = PASSWORD) -> bytes:
    """What `openssl pkcs12` makes of a certificate, its chain in no useful order."""
    (folder / "chain.pem").write_text(authority.chain)
    made = folder / "layer.p12"
    subprocess.run(
        ["/usr/bin/openssl", "pkcs12", "-export", "-in", one.certificate, "-inkey", one.key, "-certfile",
         folder / "chain.pem", "-out", made, "-passout", f"pass:{password}", *options], check=True, capture_output=True)
    return made.read_bytes()


def test_pem(source: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    made = authority.issue(NAME, rsa_bits=2048)
    source.content = both(made)
    one = node(tmp_path, source)
    one.boot()
    assert one.served() == (made.chain.encode(), made.key.read_bytes())
    assert one.path(KEPT).stat().st_mode & 0o777 == 0o600
    status = read_status(one)
    assert status is not None
    assert (status["certificate"]["names"], status["certificate"]["source"]) == ([NAME], source.url)
    assert not [words for words in one.told("warning") if "NOT RENEWED" in words]


@pytest.mark.parametrize("options", [(), ("-legacy",)], ids=["today", "RC2"])
def test_an_archive(source: HttpsFiles, authority: Authority, tmp_path: Path, options: tuple[str, ...]) -> None:
    made = authority.issue(NAME)
    source.content = archive(made, authority, tmp_path, *options)
    one = node(tmp_path, source, password=f"literal:{PASSWORD}")
    one.boot()
    assert one.served() == (made.chain.encode(), made.key.read_bytes())
    assert not one.path(pkcs12.PLACE).exists()


def test_an_archive_without_a_password(source: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    source.content = archive(authority.issue(NAME), authority, tmp_path, password="")
    node(tmp_path, source).boot()


@pytest.mark.parametrize(("more", "words"), [
    ({"password": "literal:canary words"}, "open PKCS#12: the password is wrong"),
    ({}, "open PKCS#12: it needs a password, and tls.password is not given"),
])
def test_a_wrong_password(
    source: HttpsFiles, authority: Authority, tmp_path: Path, more: dict[str, str], words: str
) -> None:
    source.content = archive(authority.issue(NAME), authority, tmp_path)
    one = node(tmp_path, source, **more)
    with pytest.raises(StepError) as caught:
        one.boot()
    assert caught.value.message == words
    assert one.told("wait") == []
    written = [path for path in (tmp_path / "node").rglob("*") if path.is_file() and path.name != "user_data"]
    assert not [path for path in written if b"canary" in path.read_bytes()]
    assert not one.path(pkcs12.PLACE).exists()


def test_an_archive_that_is_none(source: HttpsFiles, tmp_path: Path) -> None:
    source.content = b"\x30\x82" + bytes(100)
    with pytest.raises(StepError, match="open PKCS#12: openssl cannot read it"):
        node(tmp_path, source, password="literal:x").boot()


def spoil(kind: str, authority: Authority) -> bytes:
    """A faulty certificate of the company's."""
    good = authority.issue(NAME)
    leaf, middle = good.certificate.read_text(), authority.pem
    root = authority.chain.removeprefix(middle)
    key = good.key.read_text()
    day = datetime.timedelta(days=1)
    texts = {
        "another key": lambda: good.chain + authority.issue("other.example.org").key.read_text(),
        "incomplete": lambda: leaf + root + key,
        "wrong order": lambda: leaf + root + middle + key,
        "expired": lambda: both(authority.issue(NAME, begins=-2 * day, ends=-day / 2)).decode(),
        "not yet valid": lambda: both(authority.issue(NAME, begins=day)).decode(),
        "name": lambda: both(authority.issue("imap.example.org")).decode(),
        "weak": lambda: both(authority.issue(NAME, rsa_bits=1024)).decode(),
    }
    return texts[kind]().encode()


BROKEN = {
    "another key": "the key is not that of the certificate mail.example.org",
    "incomplete": "incomplete chain: mail.example.org (number 1) is not signed by the next, company",
    "wrong order": "wrong order: mail.example.org (number 1) is signed by company servers, which must come next",
    "expired": "it, or one of its chain, expired on ",
    "not yet valid": "it, or one of its chain, is not valid before ",
    "name": "it does not cover mail.example.org; its names are imap.example.org",
    "weak": "its key is weak: RSA with 1024 bits, fewer than 2048",
}


@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_a_broken_one(fault: str, source: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    """On a fresh node it stops the run; on one that has a good one that one stays, loudly."""
    good = authority.issue(NAME)
    kept = (good.chain.encode(), good.key.read_bytes())
    first = both(good)
    one = node(tmp_path, source)
    source.content = spoil(fault, authority)
    with pytest.raises(StepError) as caught:
        one.boot()
    assert BROKEN[fault] in caught.value.message
    assert one.told("wait") == []
    assert one.served() == (None, None)
    source.content, broken = first, source.content
    one.boot()
    source.content = broken
    one.boot()
    assert one.served() == kept
    assert [words for words in one.told("warning") if "NOT RENEWED" in words and BROKEN[fault] in words]


@pytest.mark.parametrize(("status", "words"), [(404, "404 Not Found"), (302, "302 Found"), (403, "403 Forbidden")])
def test_an_answer_that_is_final(status: int, words: str, source: HttpsFiles, tmp_path: Path) -> None:
    source.status = status
    with pytest.raises(StepError, match=words):
        node(tmp_path, source).boot(patience=60.0)
    assert source.asked == 1, "a redirect is not followed"


def test_a_huge_answer(source: HttpsFiles, tmp_path: Path) -> None:
    source.content = bytes(download.MAX_BYTES + 1)
    with pytest.raises(StepError, match="more than 1048576 bytes"):
        node(tmp_path, source).boot()


@pytest.mark.parametrize("fault", ["503", "cut off", "away", "no such name"])
def test_what_may_pass(fault: str, files: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    files.content = both(authority.issue(NAME))
    words = {"503": "503 Service Unavailable", "cut off": "cut off after", "away": "Connection refused",
             "no such name": "get https://nowhere.invalid/layer: "}[fault]
    files.status = 503 if fault == "503" else 200
    files.promised = len(files.content) + 10 if fault == "cut off" else None
    one = node(tmp_path, files)
    if fault == "no such name":
        one.say({"tls": {"url": "https://nowhere.invalid/layer"}})
    if fault == "away":
        with pytest.raises(GaveUpError, match=words):
            one.boot()
    else:
        with files.up(), pytest.raises(GaveUpError, match=words):
            one.boot()
    assert one.told("wait")


def test_away_at_boot_and_back(files: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    made = authority.issue(NAME)
    files.content = both(made)
    one = node(tmp_path, files)
    thread = threading.Thread(target=lambda: one.boot(patience=60.0))
    thread.start()
    time.sleep(1.0)
    status = read_status(one)
    with files.up():
        thread.join(30)
    assert not thread.is_alive()
    assert status is not None
    assert (status["state"], "Connection refused" in status["message"]) == ("waiting", True)
    assert one.served()[0] == made.chain.encode()
    status = read_status(one)
    assert status is not None
    assert (status["state"], status["certificate"]["kept"]) == ("ready", False)


def test_away_at_a_reboot_with_a_kept_one(files: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    files.content = both(authority.issue(NAME))
    one = node(tmp_path, files)
    with files.up():
        one.boot()
    before = one.served()
    begun = time.monotonic()
    one.boot(patience=300.0)
    assert time.monotonic() - begun < 10.0
    assert one.served() == before
    (words,) = [words for words in one.told("warning") if "NOT RENEWED" in words]
    assert "Connection refused" in words


def test_a_server_that_is_not_trusted(source: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    source.content = both(authority.issue(NAME))
    one = node(tmp_path, source, ca=authority.chain)
    with pytest.raises(StepError, match=r"the server's certificate does not chain to tls\.ca"):
        one.boot(patience=60.0)
    assert source.asked == 0


def test_a_server_of_another_name(files: HttpsFiles, tmp_path: Path) -> None:
    files.present(files.authority.issue("elsewhere.example.org").certificate)
    with files.up(), pytest.raises(StepError, match="or is of another name"):
        node(tmp_path, files).boot(patience=60.0)


def test_a_server_whose_own_certificate_expired(files: HttpsFiles, tmp_path: Path) -> None:
    old = files.authority.issue("localhost", ends=-datetime.timedelta(hours=1))
    files.present(old.certificate)
    with files.up(), pytest.raises(StepError, match="the server's own certificate is expired"):
        node(tmp_path, files).boot(patience=60.0)


def test_the_same_again_writes_nothing(source: HttpsFiles, authority: Authority, tmp_path: Path) -> None:
    source.content = both(authority.issue(NAME))
    one = node(tmp_path, source)
    one.boot()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "node" / "etc").rglob("*")}
    kept = one.path(KEPT).stat().st_mtime_ns
    work = one.boot()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "node" / "etc").rglob("*")} == times
    assert one.path(KEPT).stat().st_mtime_ns == kept
    certificate_step.undo(one, work)
    assert not one.path(KEPT).exists()
