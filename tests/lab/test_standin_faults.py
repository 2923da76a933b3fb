"""The stand-in's server: what it serves, and faults that do what they say, to yum and to others."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import standin
from standin import archive, inside, keys, server

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("fault", ["forbidden", "corrupt", "gone"])
def test_yum_goes_on_to_the_next_url(
    tree: inside.Tree, stand_in: standin.StandIn, served: server.Server, fault: str
) -> None:
    if fault == "forbidden":
        served.faults.answer("/one/*/Packages/dovecot-2*", 403)
    elif fault == "corrupt":
        served.faults.corrupt("/one/*/Packages/dovecot-2*")
    else:
        served.faults.answer("/one/*", 404)
    text = inside.repositories(served, mirrors=("one", "two"))
    ended = tree.run("yum -y install dovecot > /dev/null && rpm -q dovecot", inside.files(stand_in, text))
    assert ended.stdout.split() == ["dovecot-2.2.36-8.el7.x86_64"], ended.stderr
    paths = [path for _, path, _ in served.asked("dovecot-2")]
    assert any(path.startswith("/two/") for path in paths)


def test_yum_says_which_file_it_could_not_get(
    tree: inside.Tree, stand_in: standin.StandIn, served: server.Server
) -> None:
    served.faults.answer("*/Packages/dovecot-2*", 403)
    ended = tree.run("yum -y install dovecot", inside.files(stand_in, inside.repositories(served)))
    assert ended.returncode != 0
    assert re.search(r"403.*dovecot-2\.2\.36|dovecot-2\.2\.36.*403", ended.stdout + ended.stderr, re.DOTALL)


def test_yum_refuses_a_package_of_another_signer(
    tree: inside.Tree, stand_in: standin.StandIn, served: server.Server
) -> None:
    files = inside.files(stand_in, inside.repositories(served))
    files["/etc/pki/rpm-gpg/RPM-GPG-KEY-SOGo"] = stand_in.keys["epel"].public.read_text()
    ended = tree.run("yum -y install libwbxml; rpm -q libwbxml", files)
    assert "package libwbxml is not installed" in ended.stdout
    assert "GPG" in ended.stdout + ended.stderr


def test_the_image_trusts_the_stand_ins_authority_only(
    tree: inside.Tree, stand_in: standin.StandIn, tmp_path: Path
) -> None:
    other = keys.make_authority(tmp_path, "other")
    with standin.serve(stand_in, authority=other) as wrong:
        ended = tree.run("yum -y install arj; rpm -q arj", inside.files(stand_in, inside.repositories(wrong)))
        assert "package arj is not installed" in ended.stdout
        assert "certificate" in ended.stdout + ended.stderr
        # Not even a name of a file is told to a server that is not trusted.
        assert wrong.asked("repodata") == []
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(wrong.image_url(), stand_in.ca)
    # Only now has every connection ended.
    assert [kind for kind, _, _ in wrong.requests] == ["tls"]


def fetch(url: str, ca: Path, method: str = "GET") -> bytes:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - the server is ours
    context = ssl.create_default_context(cafile=str(ca))
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:  # noqa: S310
        return bytes(answer.read())


def test_the_server_gives_files_of_the_archive_and_nothing_else(
    stand_in: standin.StandIn, served: server.Server
) -> None:
    index = stand_in.archive_root / archive.FOLDERS["updates"] / "repodata" / "repomd.xml"
    assert fetch(f"{served.url('updates')}repodata/repomd.xml", served.ca) == index.read_bytes()
    assert fetch(f"{served.mirror('any')}updates/x86_64/repodata/repomd.xml", served.ca) == index.read_bytes()
    assert hashlib.sha256(fetch(served.image_url(), served.ca)).hexdigest() == stand_in.sha256
    assert fetch(served.image_url(), served.ca, "HEAD") == b""
    for path in ("nothing", "../keys/ca.key", "%2e%2e/keys/ca.key"):
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            fetch(f"https://127.0.0.1:{served.port}/one/{path}", served.ca)
        caught.value.close()


def test_plain_http_is_sent_to_https(stand_in: standin.StandIn, served: server.Server) -> None:
    index = stand_in.archive_root / archive.FOLDERS["base"] / "repodata" / "repomd.xml"
    assert fetch(f"{served.plain_url('base')}repodata/repomd.xml", served.ca) == index.read_bytes()
    assert [(kind, status) for kind, _, status in served.requests] == [("http", 301), ("https", 200)]


def test_a_corrupt_answer_differs_in_one_byte(stand_in: standin.StandIn, served: server.Server) -> None:
    good = stand_in.base_image.read_bytes()
    served.faults.corrupt("*/images/*")
    bad = fetch(served.image_url(), served.ca)
    assert len(bad) == len(good)
    assert sum(one != other for one, other in zip(bad, good, strict=True)) == 1
    served.faults.clear()
    assert fetch(served.image_url(), served.ca) == good


def test_the_server_ends_while_somebody_waits(stand_in: standin.StandIn) -> None:
    begin = time.monotonic()
    with standin.serve(stand_in) as slow:
        slow.faults.slow("*", 600)
        client = threading.Thread(target=fetch, args=(f"{slow.url('sogo')}repodata/repomd.xml", slow.ca))
        client.start()
        time.sleep(0.5)
    client.join()
    assert time.monotonic() - begin < 10
