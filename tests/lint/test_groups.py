"""Groups of tests that share a worker name files that are there, each once; a name that is not would group nothing."""

from __future__ import annotations

from pathlib import Path

from groups import GROUPS

TESTS = Path(__file__).resolve().parents[1]


def test_every_name_is_a_file() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert len(named) == len(set(named))
    assert set(named) <= {path.stem for folder in ("lab", "boot") for path in (TESTS / folder).glob("test_*.py")}
