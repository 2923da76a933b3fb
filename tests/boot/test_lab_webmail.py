"""The webmail of a whole platform in a real browser: what a user does, and what he is told when servers fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab

from mailimg.lab import start

pytestmark = pytest.mark.boot

INSIDE = Path(__file__).with_name("webmail_inside.py")
PNG = b"\x89PNG\r\n\x1a\n"


def test_a_user_visits(lab: Lab, tmp_path: Path) -> None:
    told = lab.run("test", "--only", "webmail", "--screenshots", str(tmp_path / "seen"))
    assert told.stdout.startswith("12 of 12 checks hold, ")
    seen = sorted((tmp_path / "seen").iterdir())
    assert [picture.name[:3] for picture in seen] == [f"{number:02d}-" for number in range(1, 11)]
    assert not [picture.name for picture in seen if "FAILED" in picture.name]
    assert all(picture.read_bytes().startswith(PNG) and picture.stat().st_size > 5000 for picture in seen)


@pytest.fixture(scope="module")
def faults(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("faults")
    argv = start.inside(lab.state, [sys.executable, str(INSIDE), lab.name, str(folder)])
    told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout), folder


@pytest.mark.parametrize("name", ["nobody there", "foreign certificate"])
def test_a_failure_is_told_with_all_there_is_to_see(name: str, faults: tuple[dict[str, Any], Path]) -> None:
    seen, folder = faults
    first, *rest = seen[name].splitlines()
    assert first.startswith("SOGo could not send: ")
    assert rest[0].startswith("page: https://webmail.example.org/SOGo/so/bela/Mail/view")
    picture = Path(rest[1].removeprefix("screenshot: "))
    assert (picture.parent, picture.name[2:]) == (folder, f"-{name.replace(' ', '-')}-FAILED.png")
    assert picture.read_bytes().startswith(PNG)
    assert any(line.startswith("console: SEVERE ") and "/send" in line for line in rest[2:])


def test_a_server_with_a_foreign_certificate_is_told_nothing(faults: tuple[dict[str, Any], Path]) -> None:
    seen, _ = faults
    assert "smtp-out.cloud.example.org (certificate verify failed)" in seen["journal"]
    assert (seen["in order"], seen["arrived"]) == ("sent", True)


def test_a_page_that_is_not_there(faults: tuple[dict[str, Any], Path]) -> None:
    assert "ERR_NAME_NOT_RESOLVED" in faults[0]["no such name"]
