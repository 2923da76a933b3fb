"""The roles behind and beside smtp-in serve: each as a container from its tree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mailimg.verify import VerifyResult, scenarios
from mailimg.verify.report import check_line

pytestmark = pytest.mark.boot

ROLES = {"smtp-out": ("submission",), "pop-imap-lda": ("access", "mailbox")}


@pytest.mark.parametrize("role", ROLES)
def test_the_tree_serves_in_a_container(role: str, store: Path, tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "mailimg")
    chosen = ["--role", role, "--distro", "debian-12"]
    subprocess.run([program, "build", *chosen, "--output", tmp_path, "--store", store], check=True)
    image = tmp_path / f"{role}-debian-12.qcow2"
    told = subprocess.run([program, "verify", image, "--json", "--by", "nspawn", "--store", store],
                          stdout=subprocess.PIPE, check=False)
    assert told.returncode in (0, 1)
    found = json.loads(told.stdout)
    result = VerifyResult.from_dict({name: value for name, value in found.items() if name != "ok"})
    words = "\n".join([*map(check_line, result.checks), *result.console])
    assert result.ok, words
    wanted = {name for scenario in ROLES[role] for name, _ in scenarios.find(scenario).checks()}
    assert wanted <= {check.name for check in result.checks}, words
