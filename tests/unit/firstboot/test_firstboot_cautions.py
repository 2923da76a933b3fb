"""What a site document leaves undone on an image is said, and does not stop the run."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_machine import ROLE, SITE, FakeClock, machine, role, seed, with_keys

from mailimg_firstboot import cautions, engine, preparing, site
from mailimg_firstboot.report import Report

UNIT = "clamav-freshclam.service"
REFUSED: Dict[str, Any] = with_keys(
    ROLE, facts__freshclam={"unit": UNIT, "public": False},
    services=[*ROLE["services"], {"name": "freshclam", "unit": UNIT}])


def said(document: Dict[str, Any], **facts: Any) -> List[str]:
    known = role(facts__freshclam=facts, services=REFUSED["services"])
    return cautions.of(known, site.load(document, known))


def test_databases_that_nobody_gives() -> None:
    assert [words.partition(",")[0] for words in said(SITE, public=False)] == ["filter.freshclam.mirror: none"]


@pytest.mark.parametrize(("document", "facts"), [
    (with_keys(SITE, filter__freshclam__mirror="https://clamav.example.org"), {"public": False}),
    (with_keys(SITE, filter__freshclam__enabled=False), {"public": False}),
    (SITE, {"public": True}),
    (SITE, {}),
])
def test_nothing_to_say(document: Dict[str, Any], facts: Dict[str, Any]) -> None:
    assert said(document, **facts) == []


def test_a_role_without_a_scanner_has_nothing_to_say() -> None:
    assert cautions.of(role(), site.load(SITE, role())) == []


def test_the_run_says_it_and_serves(tmp_path: Path) -> None:
    host, clock = machine(tmp_path), FakeClock()
    host.path("/etc/mailimg/role.json").write_text(json.dumps(REFUSED))
    seed(host)
    engine.apply(host, clock, Report(host, clock), preparing.Options())
    assert [line for line in host.said if line.startswith("mailimg: warning: filter.freshclam.mirror: none")]
    assert host.said[-1].startswith("mailimg: ready")
