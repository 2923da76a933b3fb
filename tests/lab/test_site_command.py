"""`mailimg site`: the check of a site document is the agent's own, run as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailimg import resources, roles
from mailimg.errors import StepError
from mailimg.site import check

pytestmark = pytest.mark.lab

RESOURCES = resources.installed()
SECRET = "do-not-show-me-7421"  # only looked for


def mailimg(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "mailimg"), "site", *map(str, words)]
    # An environment that would break the agent if it came through.
    environment = {**os.environ, "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An example as the command writes it."""
    found = tmp_path / "site.yaml"
    told = mailimg("example", "--role", "smtp-in", "--distro", "debian-12", "--output", found)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    return found


def validate(file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return mailimg("validate", file, "--role", "smtp-in", "--distro", "debian-12", *more)


def test_an_example_is_right(file: Path) -> None:
    told = validate(file)
    assert (told.returncode, told.stdout, told.stderr) == (0, f"{file}: right for smtp-in on debian-12\n", "")
    assert json.loads(validate(file, "--json").stdout) == {"ok": True, "problems": [], "warnings": []}


def test_an_example_replaces_nothing(file: Path) -> None:
    before = file.read_bytes()
    told = mailimg("example", "--role", "sogo", "--output", file)
    assert told.returncode == 2
    assert f"error: {file}: exists" in told.stderr
    assert file.read_bytes() == before


def test_all_problems_at_once_and_no_secret(file: Path) -> None:
    text = file.read_text()
    wrong = text.replace("domains:", "domian:").replace("networks: [", "networks: [10.0.0.7/24, ")
    wrong = wrong.replace("bind_password: file:", f"bind_password: {SECRET}:")
    assert wrong != text
    file.write_text(wrong)
    told = validate(file)
    assert told.returncode == 2
    assert told.stdout == ""
    assert SECRET not in told.stderr
    for words in (
        "error: site: domian: unknown key; do you mean `domains`?",
        "error: site: domains: missing; role smtp-in cannot serve without it",
        "error: site: networks[0]: 10.0.0.7/24 is an address inside a network; do you mean 10.0.0.0/24?",
        "error: site: directory.bind_password: the value (not shown) is not a secret reference",
    ):
        assert words in told.stderr
    as_json = validate(file, "--json")
    assert as_json.returncode == 2
    found = json.loads(as_json.stdout)
    assert not found["ok"]
    assert len(found["problems"]) == 4


def test_literal_secrets_are_warned_of(file: Path) -> None:
    text = file.read_text()
    file.write_text(text.replace("bind_password: file:", "bind_password: literal:"))
    told = validate(file)
    assert told.returncode == 0
    assert told.stderr.startswith("warning: site: directory.bind_password: the secret stands literally in the metadata")


def test_user_data_that_holds_a_document(file: Path, tmp_path: Path) -> None:
    """As `cloud-init devel make-mime` writes it: a multipart message in base64."""
    from email.mime.multipart import MIMEMultipart
    from email.mime.text import MIMEText

    message = MIMEMultipart()
    message.attach(MIMEText("#cloud-config\n{}\n", "cloud-config"))
    message.attach(MIMEText(file.read_text(), "x-mailimg-site"))
    user_data = tmp_path / "user-data"
    user_data.write_bytes(message.as_bytes())
    assert validate(user_data).returncode == 0
    user_data.write_text("#cloud-config\n{}\n")
    told = validate(user_data)
    assert told.returncode == 2
    assert "error: user-data: user data without a site document" in told.stderr


@pytest.mark.parametrize(("words", "wanted"), [
    (("--role", "smtp"), "unknown role 'smtp'"),
    (("--role", "smtp-in", "--distro", "debian"), "distribution 'debian' has no element"),
])
def test_wrong_words(file: Path, words: tuple[str, ...], wanted: str) -> None:
    for command in (("validate", file), ("example",)):
        told = mailimg(*command, *words)
        assert told.returncode == 2
        assert wanted in told.stderr


def test_the_document_says_its_role(file: Path) -> None:
    """A guard in the document (`role`) is enough; without it the command line must say it."""
    told = mailimg("validate", file, "--distro", "debian-12")
    assert (told.returncode, told.stdout) == (0, f"{file}: right for smtp-in on debian-12\n")
    file.write_text(file.read_text().replace("\nrole: smtp-in\n", "\n"))
    told = mailimg("validate", file)
    assert told.returncode == 2
    assert f"error: {file}: names no role" in told.stderr
    assert "--role ROLE" in told.stderr
    assert validate(file).returncode == 0
    told = mailimg("example")
    assert told.returncode == 2
    assert "Missing option '--role'" in told.stderr


def test_an_agent_that_does_not_run_is_no_verdict(file: Path, tmp_path: Path) -> None:
    """Neither "right" nor "wrong" may be said of a document that was not checked."""
    broken = tmp_path / "agent" / "mailimg_firstboot"
    broken.mkdir(parents=True)
    (broken / "__main__.py").write_text("import sys\nprint('no JSON')\nsys.exit(2)\n")
    found = resources.Resources(RESOURCES.elements, RESOURCES.roles, RESOURCES.images, broken.parent)
    role, distro = roles.load_role(RESOURCES, "smtp-in"), roles.load_distro(RESOURCES, "debian-12")
    with pytest.raises(StepError, match="the agent's program ended with status 2") as caught:
        check.check(found, role, distro, file, "1")
    assert caught.value.tail == ("no JSON",)


def test_nothing_is_written_beside_the_agent(file: Path) -> None:
    folder = RESOURCES.firstboot / "mailimg_firstboot"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert validate(file).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
