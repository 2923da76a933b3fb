"""The command: what it prints, how it ends."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Iterator, List

import pytest
from firstboot_certificates import NOW
from firstboot_layer import URL, LayerHost
from firstboot_machine import INSTANCE, PASSWORD, ROLE, SITE, TEMPLATES, FakeClock, FakeHost, machine, seed, with_keys

from mailimg_firstboot import cli, engine
from mailimg_firstboot.errors import SignalError, StepError
from mailimg_firstboot.host import Host


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    made = machine(tmp_path)
    monkeypatch.setattr(cli, "Host", lambda: made)
    monkeypatch.setattr(cli, "Clock", FakeClock)
    return made


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)


def test_apply_status_analyze(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().out == "not started since this boot\n"
    assert cli.main(["analyze"]) == 1
    assert capsys.readouterr().err == (
        "mailimg-firstboot: there is no record of a run since this boot\n"
        "mailimg-firstboot: Start one: `mailimg-firstboot apply`.\n")
    assert cli.main(["check"]) == 1
    assert "hostname: host name is localhost, not mx-1\n" in capsys.readouterr().out
    assert cli.main(["apply"]) == 0
    capsys.readouterr()
    assert cli.main(["check"]) == 0
    assert capsys.readouterr().out == "no differences\n"
    assert cli.main(["status", "--wait", "--timeout", "5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ready: smtp-in mx-1.cloud.example.org after 12.5 s\n  hostname   done ")
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["instance"] == INSTANCE
    assert cli.main(["analyze"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "   12.50 s  kernel to agent"
    assert lines[-1] == "   12.50 s  in all, since the kernel started: ready"
    assert len([line for line in lines if "s  step " in line]) == len(engine.STEPS)
    assert "    0.00 s  critical path:" in lines


def test_apply_with_wrong_documents(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    seed(host, with_keys(SITE, role="sogo", domain=[]))
    assert cli.main(["apply"]) == 2
    assert capsys.readouterr().err == (
        "mailimg-firstboot: site: domain: unknown key; do you mean `domains`?\n"
        "mailimg-firstboot: site: role: the document is for sogo, this is an instance of smtp-in\n"
        "mailimg-firstboot: Correct the document; `mailimg site validate FILE --role ROLE` makes the same check before "
        "the boot.\n")
    assert cli.main(["check"]) == 2
    assert cli.main(["status"]) == 1


def test_apply_that_fails(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    host.systemd.refuse.add("postfix@-.service")
    assert cli.main(["apply"]) == 1
    assert "mailimg-firstboot: start postfix: postfix@-.service is inactive (dead)\n" in capsys.readouterr().err


def test_a_second_apply_is_told(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    with host.lock("/run/mailimg/lock"):
        assert cli.main(["apply"]) == 1
    assert "another run of mailimg-firstboot is at work" in capsys.readouterr().err
    assert host.read("/run/mailimg/status.json") is None, "the second run leaves the first one's report alone"


def test_status_gives_up(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--wait", "--timeout", "3"]) == 1
    assert "not ready after 3 s: not started since this boot" in capsys.readouterr().err


def test_render_of_the_instance_masks_secrets(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    templates = str(host.path("/usr/share/mailimg/templates"))
    assert cli.main(["render", "--templates", templates]) == 0
    out = capsys.readouterr().out
    assert "bind_pw = <secret>" in out
    assert "myhostname = mx-1.cloud.example.org" in out
    assert PASSWORD not in out


def test_render_from_documents_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "Host", Host)
    (tmp_path / "t").mkdir()
    for name, text in {**{"t/" + name: text for name, text in TEMPLATES.items()}, "role.json": json.dumps(ROLE),
                       "site.yaml": json.dumps(SITE)}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    words = ["render", "--role-file", "role.json", "--site", "site.yaml", "--templates", "t"]
    assert cli.main([*words, "--hostname", "mx-9"]) == 0
    assert "myhostname = mx-9.cloud.example.org" in capsys.readouterr().out
    assert cli.main([*words, "--output", "out"]) == 0
    assert capsys.readouterr().out == f"3 files written below {tmp_path}/out\n"
    assert (tmp_path / "out/etc/postfix/recipients.cf").read_text() == f"bind_pw = {PASSWORD}\n"
    assert cli.main([*words[:3], "--site", "nothing.yaml", "--templates", "t"]) == 2
    assert capsys.readouterr().err == f"mailimg-firstboot: {tmp_path}/nothing.yaml: missing\n"


def test_interruption(host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SignalError, match="interrupted by SIGTERM"):
        cli._interrupted(signal.SIGTERM, None)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN

    cut = threading.Event()

    def interrupt(_name: str) -> None:
        """A real signal, while a step is at work that ends when it is told to."""
        os.kill(os.getpid(), signal.SIGTERM)
        assert cut.wait(10.0)

    monkeypatch.setattr(host, "set_hostname", interrupt)
    monkeypatch.setattr(host.programs, "cut", cut.set)
    assert cli.main(["apply"]) == 130
    assert "mailimg-firstboot: interrupted by SIGTERM" in capsys.readouterr().err
    assert "hostname" in json.loads((host.read("/run/mailimg/status.json") or b"").decode())["message"]
    assert "postfix@-.service" not in host.systemd.running


@pytest.mark.parametrize("words", [["--help"], *[[name, "--help"] for name in (
    "apply", "check", "status", "signatures", "renew", "analyze", "render")]])
def test_help(words: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 0
    assert "usage: mailimg-firstboot" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["serve"], ["apply", "--nothing"]])
def test_wrong_usage(words: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage: mailimg-firstboot" in capsys.readouterr().err


def test_status_tells_of_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    monkeypatch.setattr(cli, "Host", lambda: layer.host)
    monkeypatch.setattr(cli, "Clock", lambda: layer.clock)
    capsys.readouterr()
    assert cli.main(["status"]) == 0
    line = ("certificate: mail.example.org, *.cloud.example.org until 2026-05-30T12:00:00Z, from {}, "
            "checked 2026-03-01T12:00:00Z").format(URL)
    assert capsys.readouterr().out.splitlines()[-1] == line
    monkeypatch.setattr(layer.clock, "epoch", lambda: NOW + 80 * 86400.0)
    assert cli.main(["status", "--json"]) == 0
    warning = json.loads(capsys.readouterr().out)["certificate"]["warning"]
    assert warning == "certificate: expires on 2026-05-30T12:00:00Z, in 10.0 days"
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "warning: " + warning


def test_renew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    monkeypatch.setattr(cli, "Host", lambda: layer.host)
    monkeypatch.setattr(cli, "Clock", lambda: layer.clock)
    capsys.readouterr()
    assert cli.main(["renew"]) == 0
    assert capsys.readouterr().out.endswith(": unchanged\n")
    layer.tls.give(StepError("404 Not Found"))
    assert cli.main(["renew"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mailimg-firstboot: 404 Not Found; kept: certificate of mail.example.org")
    assert "mailimg-firstboot renew" in said
