"""Every role serves: in a container from its tree, and storage, which needs its own kernel, under QEMU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mailimg import manifest
from mailimg.resources import installed
from mailimg.roles import role_names
from mailimg.verify import VerifyResult, scenarios
from mailimg.verify.report import check_line

pytestmark = pytest.mark.boot

# How each role is proved; a role that is not here would never be.
WAYS: dict[str, tuple[str, ...]] = {
    "smtp-in": ("--by", "nspawn"),
    "smtp-out": ("--by", "nspawn"),
    "pop-imap-lda": ("--by", "nspawn"),
    "sogo": ("--by", "nspawn"),
    "nfs": ("--by", "qemu", "--accel", "tcg"),
}


def proved(result: Mapping[str, Any], image: Path) -> None:
    """Every check held, and those of all the role's scenarios were among them."""
    whole = VerifyResult.from_dict({name: value for name, value in result.items() if name != "ok"})
    words = "\n".join([*map(check_line, whole.checks), *whole.console])
    assert result["ok"], words
    chosen = manifest.read(image)["contract"]["verify"]
    assert chosen, "a role without a scenario proves nothing"
    wanted = {name for scenario in chosen for name, _ in scenarios.find(scenario).checks()}
    assert wanted <= {check.name for check in whole.checks}, words


def verify(image: Path, *options: str) -> dict[str, Any]:
    """What `mailimg verify` says of an image."""
    command = [str(Path(sys.executable).parent / "mailimg"), "verify", str(image), "--json", *options]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert told.returncode in (0, 1)
    return dict(json.loads(told.stdout))


def test_no_role_is_left_out() -> None:
    assert sorted(WAYS) == role_names(installed())


@pytest.mark.parametrize("role", WAYS)
def test_it_serves(role: str, images: Path, store: Path) -> None:
    image = images / f"{role}-debian-12.qcow2"
    result = verify(image, *WAYS[role], "--store", str(store))
    proved(result, image)
    kept = manifest.read(image)["verify"]
    assert result in kept.values()


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_the_image_boots_and_serves(image: Path, firmware: str) -> None:
    """Without KVM, as on a machine that has none."""
    result = verify(image, "--firmware", firmware, "--accel", "tcg")
    proved(result, image)
    assert result["backend"] == f"qemu/tcg/{firmware}"
    assert manifest.read(image)["verify"][f"qemu-{firmware}"] == result
