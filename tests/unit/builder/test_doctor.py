"""What the host lacks, and the command that installs it."""

from __future__ import annotations

import json
import os

import click.testing
import pytest

from mailimg import doctor, process
from mailimg.commands.doctor import doctor as command
from mailimg.errors import StepError


def lacks(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    monkeypatch.setattr(process, "which", lambda name: None if name in programs else f"/usr/bin/{name}")


def run(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(command, arguments)


def test_nothing_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch)
    assert doctor.absent() == []
    doctor.missing_tools("build")
    result = run()
    assert result.exit_code == 0
    assert f"All {len(doctor.all_tools())} programs are there." in result.output


def test_packages_are_named_once_and_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, "unshare", "setpriv", "mmdebstrap")
    with pytest.raises(StepError) as caught:
        doctor.missing_tools("build")
    assert caught.value.message == "this host lacks unshare, setpriv, mmdebstrap"
    assert caught.value.hint == "Install with: apt-get install mmdebstrap util-linux"


def test_a_command_does_not_ask_for_the_tools_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {tool.program for tool in doctor.all_tools() if tool.purpose != "build"}
    assert others
    lacks(monkeypatch, *(others - {tool.program for tool in doctor.all_tools() if tool.purpose == "build"}))
    doctor.missing_tools("build")
    assert doctor.absent()


def test_command_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, "mmdebstrap")
    result = run()
    assert result.exit_code == 1
    assert "missing  mmdebstrap           for mailimg build, package mmdebstrap" in result.output
    assert "Install with: apt-get install mmdebstrap" in result.output
    assert "unshare" not in result.output


def test_command_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, "mmdebstrap")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = run("--json")
    assert result.exit_code == 1
    assert json.loads(result.output) == {
        "root": False,
        "missing": [{"program": "mmdebstrap", "package": "mmdebstrap", "for": "build"}],
        "install": "apt-get install mmdebstrap",
    }


def test_installing_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, "mmdebstrap")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = run("--install")
    assert isinstance(result.exception, StepError)
    assert result.exception.message.startswith("installing packages needs root")


def test_every_tool_has_a_package_and_a_purpose() -> None:
    for tool in doctor.all_tools():
        assert tool.program
        assert tool.package
        assert tool.purpose in ("build", "verify", "lab", doctor.WEBMAIL, "test")
