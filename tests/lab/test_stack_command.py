"""`mailimg stack render`, with the check that every role's servers make at boot; no cloud."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailimg.stack.render import EXAMPLE, TEMPLATES

pytestmark = pytest.mark.lab
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "stack"
TIMEOUT = 120.0


def stack(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("mailimg"), "stack", *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT)


def render(folder: Path, site: dict[str, Any], *argv: str) -> subprocess.CompletedProcess[str]:
    (folder / "site.yaml").write_text(yaml.safe_dump(site, allow_unicode=True), encoding="utf-8")
    return stack(folder, "render", "--site", "site.yaml", "--distro", "debian-12", *argv)


@pytest.fixture
def site() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((TEMPLATES / EXAMPLE).read_text(encoding="utf-8"))
    return found


def test_the_example_renders_as_it_is(tmp_path: Path) -> None:
    """On CentOS 7, which is the default, and on debian-12 alike; without a word of warning."""
    assert stack(tmp_path, "example", "--output", "site.yaml").returncode == 0
    for more in ((), ("--distro", "debian-12")):
        done = stack(tmp_path, "render", "--site", "site.yaml", *more)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (GOLDEN / "platform.yaml").read_text(encoding="utf-8")
    again = stack(tmp_path, "example", "--output", "site.yaml")
    assert again.returncode == 2
    assert "site.yaml: exists" in again.stderr


def test_files_are_written_and_an_environment_that_was_filled_in_stays(tmp_path: Path, site: dict[str, Any]) -> None:
    done = render(tmp_path, site, "--output", "stack")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "stack").iterdir()) == [
        "environment.yaml", "member.yaml", "platform.yaml"]
    assert (tmp_path / "stack" / "environment.yaml").read_bytes() == (GOLDEN / "environment.yaml").read_bytes()
    (tmp_path / "stack" / "environment.yaml").write_text("parameters: {server_network: mail}\n")
    done = render(tmp_path, site, "--output", "stack")
    assert "stack/environment.yaml: stays as it is" in done.stdout
    assert (tmp_path / "stack" / "environment.yaml").read_text() == "parameters: {server_network: mail}\n"


def test_some_roles_only(tmp_path: Path, site: dict[str, Any]) -> None:
    done = render(tmp_path, site, "--role", "smtp-in")
    assert done.returncode == 0, done.stderr
    resources = yaml.safe_load(done.stdout)["resources"]
    assert "smtp_in_group" in resources
    assert not [name for name in resources if name.startswith(("sogo", "nfs", "delivery"))]


def test_every_problem_of_the_document_at_once(tmp_path: Path, site: dict[str, Any]) -> None:
    site["relay_account"]["password"] = "literal:hunter2"
    site["vips"]["sieve"]["port"] = 2000
    site["signal"] = {"url": "https://heat.example.org"}
    site["cloud"]["application_credential_id"] = "0" * 32
    done = render(tmp_path, site)
    assert done.returncode == 2
    for words in ("relay_account.password: is the secret itself", "vips.sieve.port: 2000 is no port",
                  "signal: Heat makes the handle; leave it out",
                  "cloud.application_credential_id: each role gets one of its own"):
        assert words in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_what_servers_would_refuse_at_boot_is_refused_here(tmp_path: Path, site: dict[str, Any]) -> None:
    site["directory"]["bsae"] = site["directory"].pop("base")
    site["tuning"]["sogo"]["workers"] = 0
    done = render(tmp_path, site)
    assert done.returncode == 2
    assert "directory.bsae: unknown key; do you mean `base`? (for pop-imap-lda, smtp-in, smtp-out, sogo)" in done.stderr
    assert "tuning.sogo.workers: 0 is less than 1 (for sogo)" in done.stderr


def test_how_long_pools_are_waited_for(tmp_path: Path, site: dict[str, Any]) -> None:
    site["balancer"] = {"deadline": 1350}
    done = render(tmp_path, site)
    assert done.returncode == 0, done.stderr
    # Every role but storage, which is in no pool; two groups share the text.
    assert done.stdout.count("deadline: 1350") == 4
    site["balancer"] = {"deadline": 0}
    done = render(tmp_path, site)
    assert done.returncode == 2
    assert "balancer.deadline: 0 is less than 1 (for pop-imap-lda, smtp-in, smtp-out, sogo)" in done.stderr


def test_a_key_that_only_some_roles_need(tmp_path: Path, site: dict[str, Any]) -> None:
    del site["vips"]["delivery"]
    done = render(tmp_path, site)
    assert done.returncode == 2
    for role in ("smtp-in", "smtp-out"):
        assert f"vips.delivery: missing; role {role} cannot serve without it (for {role})" in done.stderr


@pytest.mark.parametrize(("text", "words"), [
    ("a: b\n", "is no site document"), ("mailimg: [\n", "line 2"), ("mailimg: 1\nmailimg: 1\n", "stands twice"),
])
def test_no_document(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "site.yaml").write_text(text)
    done = stack(tmp_path, "render", "--site", "site.yaml")
    assert done.returncode == 2
    assert words in done.stderr


def test_a_file_that_must_be_on_the_server_is_warned_of(tmp_path: Path, site: dict[str, Any]) -> None:
    site["directory"]["bind_password"] = "file:/etc/secret"
    done = render(tmp_path, site)
    assert done.returncode == 0, done.stderr
    assert "directory.bind_password: nothing in the stack puts /etc/secret onto the servers" in done.stderr
