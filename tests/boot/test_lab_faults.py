"""The whole platform in containers: what it refuses, what it answers while something is away, what its logs tell."""

from __future__ import annotations

import pytest
from conftest import Lab

from mailimg.lab import checks

pytestmark = pytest.mark.boot


@pytest.mark.parametrize("name", ["safety", "faults", "storage", "tracing"])
def test_every_check_of_a_group_holds(lab: Lab, name: str) -> None:
    result = lab.proved(name)
    ((_, group),) = checks.find([name])
    assert [one["name"] for one in result["checks"]] == [check for check, _ in group.checks()]
