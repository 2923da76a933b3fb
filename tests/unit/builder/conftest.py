"""Fixtures of the builder's unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import VERSIONS, make_world

from mailimg import gather
from mailimg.resources import Resources


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resources:
    """A small installation; programs are not asked for their versions."""
    monkeypatch.setattr(gather, "program_versions", lambda: dict(VERSIONS))
    return make_world(tmp_path / "world")
