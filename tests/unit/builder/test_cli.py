"""The command line: exit status and words, for the mistakes that people make."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from world import SOURCES, edit

from mailimg import apt, cli
from mailimg.commands import listing, request
from mailimg.resources import Resources

Answer = tuple[int, str, str]
Mailimg = Callable[..., Answer]


@pytest.fixture
def mailimg(
    world: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Mailimg]:
    """Run `mailimg` in the small installation: exit status, standard output, standard error."""
    for command in (listing, request):
        monkeypatch.setattr(command, "installed", lambda *own: world)
    monkeypatch.setattr(apt, "sources", lambda *_: SOURCES)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mailimg", *arguments])
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        assert code is None or isinstance(code, int)
        return code or 0, said.out, said.err

    yield run
    signal.signal(signal.SIGTERM, before)


def test_unknown_role(mailimg: Mailimg) -> None:
    code, out, err = mailimg("build", "--role", "ou", "--distro", "small-1")
    assert (code, out) == (2, "")
    assert err.splitlines() == ["error: unknown role 'ou' (did you mean 'out'?)", "Roles: mx, out (`mailimg list`)."]


def test_default_distribution_that_has_no_element(mailimg: Mailimg) -> None:
    """CentOS 7 is the default whether or not this release can build it: it says so, and falls back to nothing."""
    code, out, err = mailimg("build", "--role", "mx")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "error: distribution 'centos-7' has no element in this release",
        "Choose one with --distro: small-1 (`mailimg list`).",
    ]


def test_both_at_once(mailimg: Mailimg) -> None:
    code, _, err = mailimg("plan", "--role", "mxx", "--distro", "small-2")
    assert code == 2
    assert err.splitlines() == [
        "error: distribution 'small-2' has no element in this release (did you mean 'small-1'?)",
        "error: unknown role 'mxx' (did you mean 'mx'?)",
        "Choose one with --distro: small-1 (`mailimg list`).",
        "Roles: mx, out (`mailimg list`).",
    ]


def test_no_role(mailimg: Mailimg) -> None:
    code, _, err = mailimg("build", "--distro", "small-1")
    assert code == 2
    assert err.splitlines() == ["error: no role given", "Say --role ROLE or --all. Roles: mx, out."]


def test_role_and_all(mailimg: Mailimg) -> None:
    code, _, err = mailimg("build", "--all", "--role", "mx")
    assert (code, err) == (2, "error: --role and --all exclude each other\n")


def test_wrong_role_file_with_many_problems(mailimg: Mailimg, world: Resources) -> None:
    role = world.roles / "mx" / "role.yaml"
    edit(role, "services: [postal]", "services: [postal, postal]\nservice: [postal]")
    edit(role, "peers: internet", "peers: world")
    edit(role, "port: 25, name: smtp", "port: 0, name: SMTP")
    code, out, err = mailimg("build", "--role", "mx", "--distro", "small-1")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("error: roles/mx/role.yaml: ") for line in lines)
    for words in (
        "unknown key 'service' (did you mean 'services'?)",
        "services: ['postal', 'postal'] has non-unique elements",
        "ports[0].peers: 'world' is not one of ['internet', 'users', 'servers', 'siblings']",
        "health[0].port: 0 is less than the minimum of 1",
        "health[0].name: 'SMTP' does not match",
    ):
        assert words in err


def test_unreadable_role_file(mailimg: Mailimg, world: Resources) -> None:
    (world.roles / "mx" / "role.yaml").write_text("role: [\n")
    code, _, err = mailimg("list")
    assert code == 2
    assert err.startswith("error: roles/mx/role.yaml: line 2, column 1: ")


def test_list_shows_all_wrong_files_at_once(mailimg: Mailimg, world: Resources) -> None:
    for name in ("mx", "out"):
        edit(world.roles / name / "role.yaml", "schema: 1", "schema: 7")
    code, _, err = mailimg("list")
    assert code == 2
    assert [line.split(": ")[1] for line in err.splitlines()] == ["roles/mx/role.yaml", "roles/out/role.yaml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["build", "--rol", "mx"], "No such option"),
        (["build", "--role", "mx", "--format", "vmdk"], "'vmdk' is not one of 'qcow2', 'raw'"),
        (["build", "--role", "mx", "--jobs", "0"], "0 is not in the range"),
        (["build", "--role", "mx", "--base-image", "none.qcow2"], "does not exist"),
        (["verify", "none.qcow2"], "does not exist"),
    ],
)
def test_wrong_options(mailimg: Mailimg, arguments: list[str], words: str) -> None:
    code, out, err = mailimg(*arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_base_image_where_none_is_used(mailimg: Mailimg, tmp_path: Path) -> None:
    (tmp_path / "base.qcow2").touch()
    code, _, err = mailimg("build", "--role", "mx", "--distro", "small-1", "--base-image", "base.qcow2")
    assert code == 2
    assert err == "error: --base-image: small-1 is bootstrapped from packages, not from an image\n"
    code, _, err = mailimg("build", "--role", "mx", "--distro", "small-1", "--repository", "a=b", "--base-sha256", "00")
    assert (code, len(err.splitlines())) == (2, 2)
    assert "error: --repository: small-1 takes its packages from this host's apt sources, or from --mirror" in err


@pytest.mark.parametrize("arguments", [["build", "--role", "mx", "--distro", "small-1"], ["clean", "--store", "none"]])
def test_without_root(mailimg: Mailimg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    before = sorted(tmp_path.rglob("*"))
    code, _, err = mailimg(*arguments)
    assert code == 1
    assert "needs root: it mounts file systems and changes roots\nRun it again with sudo.\n" in err
    assert sorted(tmp_path.rglob("*")) == before, "something was made before the question"


def test_list(mailimg: Mailimg) -> None:
    code, out, err = mailimg("list", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "roles": {"mx": "takes mail", "out": "sends mail"},
        "distros": {"small-1": "a small distribution"},
        "elements": ["common", "distro-small-1", "mailimg-agent", "mailimg-role", "postal"],
    }
    code, out, _ = mailimg("list")
    assert code == 0
    assert "  mx             takes mail\n" in out


def test_plan(mailimg: Mailimg) -> None:
    code, out, _ = mailimg("plan", "--role", "mx", "--role", "out", "--role", "mx", "--distro", "small-1", "--json")
    assert code == 0
    plans = json.loads(out)
    assert [one["role"] for one in plans] == ["mx", "out"]
    assert [layer["name"] for layer in plans[0]["layers"]] == ["distribution", "base", "mx", "role"]
    assert plans[0]["layers"][1] == plans[1]["layers"][1]
    assert all(len(layer["identity"]) == 64 for one in plans for layer in one["layers"])
    code, out, err = mailimg("plan", "--all", "--distro", "small-1")
    assert code == 0
    assert out.count("  base ") == 2
    assert plans[0]["identity"][:12] in out
    assert "--resolve asks the archives" in err


def test_plan_follows_the_options(mailimg: Mailimg) -> None:
    seen = set()
    for more in ([], ["--compress", "zstd"], ["--format", "raw"]):
        _, out, _ = mailimg("plan", "--role", "mx", "--distro", "small-1", "--json", *more)
        seen.add(json.loads(out)[0]["identity"])
    assert len(seen) == 3


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, "SIGTERM"])
def test_interruption(mailimg: Mailimg, monkeypatch: pytest.MonkeyPatch, interruption: object) -> None:
    def interrupted(*own: object) -> Resources:
        if interruption is KeyboardInterrupt:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("went on after SIGTERM")

    monkeypatch.setattr(listing, "installed", interrupted)
    code, _, err = mailimg("list")
    assert code == 130
    assert "interrupted; nothing half-done is left behind" in err


def test_help(mailimg: Mailimg) -> None:
    code, out, _ = mailimg("--help")
    assert code == 0
    assert "Exit status: 0 done, 1 the work failed, 2 your input is wrong, 130 interrupted." in " ".join(out.split())
    code, out, _ = mailimg("build", "-h")
    assert code == 0
    assert "[default: centos-7]" in " ".join(out.split())


def test_version(mailimg: Mailimg) -> None:
    assert mailimg("--version")[0] == 0
