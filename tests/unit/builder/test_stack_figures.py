"""Figures of docs/scaling.md that follow from files of this repository, or from each other."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from mailimg.stack import render

ROOT = Path(__file__).resolve().parents[3]
SCALING = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
LOAD = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
# Heat's own limit for a stack with all that is nested in it.
RESOURCES = 1000


def said(pattern: str, text: str = SCALING) -> list[float]:
    """The numbers of the one place where a document says it."""
    (found,) = re.findall(pattern, text)
    return [float(one.replace(",", "")) for one in ([found] if isinstance(found, str) else found)]


def test_servers_that_one_stack_of_heat_holds() -> None:
    golden = yaml.safe_load((ROOT / "tests" / "golden" / "stack" / "platform.yaml").read_text(encoding="utf-8"))
    member = yaml.safe_load((render.TEMPLATES / render.MEMBER).read_text(encoding="utf-8"))
    own, each = len(golden["resources"]), len(member["resources"])
    assert said(r"a server is (\d+) resources of `member.yaml` and one of its group") == [each]
    assert said(r"`servers = \(1000 - R\) / (\d+)`, R = (\d+) for all roles") == [each + 1, own]
    most = (RESOURCES - own) // (each + 1)
    assert said(r"\*\*(\d+) servers in all\*\*") == [most]
    assert said(r"\| (\d+) in all \| Heat's `max_resources_per_stack`") == [most]
    assert said(r"300 servers: (\d+) \+ (\d+) \* 300 = ([\d,]+)\.") == [own, each + 1, own + 300 * (each + 1)]
    assert said(r"100 servers at once are ([\d,]+)") == [100 * (each + 1)]


def test_what_a_message_costs_is_of_one_measurement() -> None:
    amavis, postfix, clamd, rate = said(r"\| smtp-in \| amavis (\d+), Postfix (\d+), clamd (\d+) \| ([\d.]+) \|", LOAD)
    total = amavis + postfix + clamd
    assert said(r"takes (\d+) of the (\d+) ms of a message") == [amavis, total]
    assert said(r"\| smtp-in \| ([\d.]+) \|") == [rate]
    assert said(r"\| pop-imap-lda, delivery \| (\d+) \|") == said(
        r"\| pop-imap-lda \(both nodes\) \| [^|]+ \| (\d+) \|", LOAD)
    assert said(r"\| smtp-out \| (\d+) \|") == said(r"\| smtp-out \| [^|]+ \| (\d+) \|", LOAD)
    # Of unrounded times: a tenth more or less.
    assert abs(1000 / total - rate) < 0.1


def test_how_long_images_take_to_every_host() -> None:
    hosts, size, gib = said(r"100 hosts and one role: (\d+) \* (\d+) MiB = ([\d.]+) GiB")
    assert gib == round(hosts * size / 1024, 1)
    assert said(r"at 10 Gbit/s out of Glance (\d+) s") == [round(hosts * size * 2**20 * 8 / 10e9)]
