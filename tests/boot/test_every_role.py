"""Every role serves: in a container from its tree, and storage, which needs its own kernel, under QEMU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from conftest import side_by_side

from mailimg import manifest
from mailimg.resources import installed
from mailimg.roles import role_names
from mailimg.verify import VerifyResult, scenarios
from mailimg.verify.report import check_line

pytestmark = pytest.mark.boot

# How each is proved; a role that is not here would never be. Those that take longest come first. Without KVM, as on a
# machine that has none.
TCG = ("--by", "qemu", "--accel", "tcg", "--firmware")
WAYS: dict[str, tuple[str, ...]] = {
    "nfs": (*TCG, "bios"),
    "smtp-in by bios": (*TCG, "bios"),
    "smtp-in by uefi": (*TCG, "uefi"),
    "smtp-in": ("--by", "nspawn"),
    "smtp-out": ("--by", "nspawn"),
    "pop-imap-lda": ("--by", "nspawn"),
    "sogo": ("--by", "nspawn"),
}
Result = dict[str, Any]


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


def image_of(way: str, images: Path) -> Path:
    """The image that is proved."""
    return images / f"{way.split()[0]}-debian-12.qcow2"


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, images: Path, store: Path) -> Iterator[dict[str, Future[Result]]]:
    """What `mailimg verify` says of each way that a test of this session asks for."""
    def prove(way: str) -> Result:
        return verify(image_of(way, images), *WAYS[way], "--store", str(store))

    with side_by_side(request, "way", prove) as begun:
        yield begun


def test_no_role_is_left_out() -> None:
    assert sorted({way.split()[0] for way in WAYS}) == role_names(installed())


@pytest.mark.parametrize("way", WAYS)
def test_it_serves(way: str, results: dict[str, Future[Result]], images: Path) -> None:
    result = results[way].result()
    proved(result, image_of(way, images))
    by, firmware = WAYS[way][1], WAYS[way][-1]
    assert result["backend"] == (f"qemu/tcg/{firmware}" if by == "qemu" else by)
    assert manifest.read(image_of(way, images))["verify"][f"qemu-{firmware}" if by == "qemu" else by] == result
