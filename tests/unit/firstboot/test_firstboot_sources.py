"""Where metadata is looked for: absent, broken, late; urllib without a network."""

import email.message
import http.client
import io
import json
import tarfile
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union
from urllib.response import addinfourl

import pytest
from firstboot_machine import INSTANCE, SITE, FakeClock, FakeHost, machine

from mailimg_firstboot import drive, sources
from mailimg_firstboot.errors import DocumentError, FirstbootError, StepError
from mailimg_firstboot.metadata import Metadata
from mailimg_firstboot.programs import Completed

URL = sources.SERVICE
META = json.dumps({"uuid": INSTANCE, "hostname": "mx-1"}).encode()
USER = json.dumps(SITE).encode()

Answer = Union[Tuple[int, bytes], Tuple[int, bytes, Dict[str, str]], BaseException]


class Network(urllib.request.BaseHandler):
    """Answers of a server, by URL; the last one of a list stays."""

    def __init__(self, answers: Dict[str, List[Answer]]) -> None:
        self.answers = answers
        self.asked: List[str] = []

    def http_open(self, request: urllib.request.Request) -> addinfourl:
        self.asked.append(request.full_url)
        here = self.answers.get(request.full_url, [(404, b"")])
        answer = here.pop(0) if len(here) > 1 else here[0]
        if isinstance(answer, BaseException):
            raise answer
        headers = email.message.Message()
        for name, value in (answer[2] if len(answer) > 2 else {}).items():
            headers[name] = value
        response = addinfourl(io.BytesIO(answer[1]), headers, request.full_url, answer[0])
        response.msg = "words of the server"  # type: ignore[attr-defined]
        return response


def opener(network: Network) -> Any:
    """Our opener with the network in the place of the handler that opens connections."""
    made = sources.make_opener(network)
    made.handle_open["http"] = [network]
    return made


def plain_host(tmp_path: Path) -> FakeHost:
    """A machine without seed directory and without drives."""
    host = machine(tmp_path)
    for one in host.path("/var/lib/cloud/seed/config_drive/openstack/latest").iterdir():
        one.unlink()
    return host


def no_drive(_argv: Any, _what: str, timeout: float = 60.0, check: bool = True) -> Completed:
    return Completed(2, b"", "")


def ask(
    tmp_path: Path, answers: Dict[str, List[Answer]], patience: float = 300.0
) -> Tuple[Metadata, FakeClock, List[str]]:
    host, clock = plain_host(tmp_path), FakeClock()
    said: List[str] = []
    host.run = no_drive  # type: ignore[method-assign]
    network = Network(answers)
    found = sources.find(host, clock, patience, said.append, said.append, URL, opener(network))
    return found, clock, said


GOOD: Dict[str, List[Answer]] = {URL + "meta_data.json": [(200, META)], URL + "user_data": [(200, USER)]}


def test_service(tmp_path: Path) -> None:
    found, clock, said = ask(tmp_path, GOOD)
    assert (found.instance, found.document["domains"]) == (INSTANCE, ["example.org"])
    assert clock.naps == []
    assert said == [f"metadata: no seed directory, no drive labelled config-2; asking {URL}"]


@pytest.mark.parametrize("fault", [
    ConnectionRefusedError(111, "Connection refused"), TimeoutError("timed out"), (503, b""), (500, b""), (429, b""),
    (404, b""), (200, META[:-5]), (200, META, {"Content-Length": "500"}), http.client.BadStatusLine("x"),
    http.client.IncompleteRead(b"x"),
], ids=repr)
def test_a_late_or_broken_service_is_asked_again(tmp_path: Path, fault: Answer) -> None:
    found, clock, said = ask(tmp_path, {**GOOD, URL + "meta_data.json": [fault, fault, (200, META)]})
    assert found.instance == INSTANCE
    assert clock.naps == [0.5, 1.0]
    assert said[1].endswith("again in 0.5 s, deadline in 300 s")


def test_truncated_user_data_is_asked_for_again(tmp_path: Path) -> None:
    cut = (200, USER[:20], {"Content-Length": str(len(USER))})
    found, clock, _ = ask(tmp_path, {**GOOD, URL + "user_data": [cut, (200, USER)]})
    assert found.document == SITE
    assert clock.naps == [0.5]


def test_a_silent_service_fails_at_the_deadline(tmp_path: Path) -> None:
    fault = ConnectionRefusedError(111, "Connection refused")
    with pytest.raises(FirstbootError) as caught:
        ask(tmp_path, {URL + "meta_data.json": [fault]}, patience=60.0)
    assert caught.value.exit_code == 1
    assert caught.value.message == (
        f"get {URL}meta_data.json: Connection refused (tried 9 times in 60 s)")
    assert "ip route" in caught.value.hint


def test_absent_user_data_is_final(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        ask(tmp_path, {URL + "meta_data.json": [(200, META)]})
    assert caught.value.problems == ("no site document in metadata: the server has no user data",)
    assert caught.value.exit_code == 2


def test_a_service_that_refuses_is_final(tmp_path: Path) -> None:
    with pytest.raises(FirstbootError, match=r"get .*meta_data.json: 403 words of the server") as caught:
        ask(tmp_path, {URL + "meta_data.json": [(403, b"")]})
    assert "tried" not in caught.value.message


def test_redirects_stay_on_the_host(tmp_path: Path) -> None:
    here = URL.replace("latest", "2018-08-27") + "meta_data.json"
    found, _, _ = ask(tmp_path, {**GOOD, URL + "meta_data.json": [(302, b"", {"Location": here})], here: [(200, META)]})
    assert found.instance == INSTANCE
    evil = "http://evil.example.net/meta_data.json"
    with pytest.raises(FirstbootError, match=r"302 redirected to another host, evil\.example\.net"):
        ask(tmp_path / "b", {URL + "meta_data.json": [(302, b"", {"Location": evil})], evil: [(200, META)]})


def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.net:3128")
    assert not [one for one in sources.make_opener().handlers
                if isinstance(one, urllib.request.ProxyHandler) and one.proxies]  # type: ignore[attr-defined]


def test_size_and_time_are_limited(tmp_path: Path) -> None:
    with pytest.raises(FirstbootError, match="user_data: more than 1048576 bytes"):
        ask(tmp_path, {**GOOD, URL + "user_data": [(200, b"x" * (1 << 21))]})

    class Trickle(io.BytesIO):
        def read(self, size: Optional[int] = -1) -> bytes:
            clock.time += 4.0
            return super().read(1)

    class Slow(Network):
        def http_open(self, request: urllib.request.Request) -> addinfourl:
            answer = super().http_open(request)
            slow = addinfourl(Trickle(answer.read()), answer.headers, request.full_url, 200)
            slow.msg = ""  # type: ignore[attr-defined]
            return slow

    clock = FakeClock()
    service = sources.Service(URL, clock, opener(Slow(GOOD)))
    with pytest.raises(FirstbootError, match="not complete after 30 s"):
        service.get("user_data")


def test_seed_directory_comes_first(tmp_path: Path) -> None:
    host = machine(tmp_path)
    said: List[str] = []
    found = sources.find(host, FakeClock(), 0.0, said.append, said.append)
    assert found.hostname == "mx-1.novalocal"
    assert said == [f"metadata: seed directory {sources.SEED}"]


def test_a_broken_seed_directory_is_final(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    host.path(sources.SEED + "meta_data.json").write_text('{"uuid": ')
    with pytest.raises(FirstbootError, match=r"the seed directory .* meta_data.json is cut off or not JSON") as caught:
        sources.find(host, clock, 300.0, lambda _: None, lambda _: None)
    assert caught.value.exit_code == 1
    assert clock.naps == []


def archive(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("_json", ".json"))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def programs(answers: Dict[str, Completed]) -> Callable[..., Completed]:
    def run(argv: List[str], what: str, timeout: float = 60.0, check: bool = True) -> Completed:
        key = " ".join(argv) if argv[0] == "blkid" else argv[0]
        found = answers.get(key, Completed(2, b"", ""))
        if check and found.status:
            raise StepError(f"{what}: {argv[0]} ended with status {found.status}")
        return found

    return run


@pytest.mark.parametrize("label", ["config-2", "CONFIG-2"])
def test_config_drive(tmp_path: Path, label: str) -> None:
    host = plain_host(tmp_path)
    files = archive(meta_data_json=META, user_data=USER)
    host.run = programs({f"blkid -L {label}": Completed(0, b"/dev/sr0\n", ""),  # type: ignore[method-assign]
                         "unshare": Completed(0, files, "")})
    said: List[str] = []
    assert sources.find(host, FakeClock(), 0.0, said.append, said.append).document == SITE
    assert said == ["metadata: config drive /dev/sr0"]


def test_config_drive_by_its_link(tmp_path: Path) -> None:
    host = plain_host(tmp_path)
    host.write("/dev/disk/by-label/config-2", b"")
    assert drive.find(host) == str(host.path("/dev/disk/by-label/config-2"))


def test_a_broken_config_drive_is_final(tmp_path: Path) -> None:
    host, clock = plain_host(tmp_path), FakeClock()
    there = {"blkid -L config-2": Completed(0, b"/dev/sr0\n", "")}
    for files, words in ((archive(user_data=USER), "the config drive /dev/sr0: no openstack/latest/meta_data.json"),
                         (archive(meta_data_json=META[:9]), "the config drive /dev/sr0: meta_data.json is cut off")):
        host.run = programs({**there, "unshare": Completed(0, files, "")})  # type: ignore[method-assign]
        with pytest.raises(FirstbootError, match=words):
            sources.find(host, clock, 300.0, lambda _: None, lambda _: None)
    host.run = programs({**there, "unshare": Completed(32, b"", "")})  # type: ignore[method-assign]
    with pytest.raises(StepError, match="read the config drive /dev/sr0"):
        sources.find(host, clock, 300.0, lambda _: None, lambda _: None)
    assert clock.naps == []
