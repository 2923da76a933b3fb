"""A run of diskimage-builder in which nothing goes on any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailimg import dib, process
from mailimg.errors import StepError

pytestmark = pytest.mark.lab

HOOK = "root.d/50-still-waits"


def build(folder: Path, hook: str) -> StepError:
    """The failure of a run whose only hook of its own is this one."""
    element = folder / "elements" / "still"
    (element / "root.d").mkdir(parents=True)
    (element / "element-provides").write_text("operating-system\n")
    (element / HOOK).write_text(f"#!/bin/sh\n{hook}\n")
    (element / HOOK).chmod(0o755)
    work = folder / "work"
    work.mkdir()
    with pytest.raises(StepError) as caught:
        dib.build_tree(["still"], tree=folder / "tree", parent=None, elements_path=[folder / "elements"], work=work,
                       cache=folder / "cache", environment={"DIB_RELEASE": "none"}, log=folder / "log",
                       on_phase=lambda phase, hook: None)
    return caught.value


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "QUIET_SECONDS", 1.0)


def test_it_is_ended_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dib, "FULL_BYTES", 1 << 60)
    error = build(tmp_path, "echo fetches; exec sleep 600")
    assert error.message == f"element still, hook {HOOK} stood still"
    assert error.tail == ("fetches",)
    assert error.hint.startswith(f"The disk that holds {tmp_path}/work is full. Free some space")


def test_it_is_let_alone_when_there_is_space(tmp_path: Path) -> None:
    error = build(tmp_path, "echo fetches; sleep 3; exit 3")
    assert error.message == f"element still, hook {HOOK} ended with status 3"
    assert "is full" not in error.hint
