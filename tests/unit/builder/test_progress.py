"""What is seen of long work: plain lines in a log, a live line on a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from mailimg.progress import MIB, Display


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    made = Console(file=text, force_terminal=terminal, width=200, color_system=None, _environ={"TERM": "xterm"})
    return made, text


def words(text: io.StringIO) -> list[str]:
    """The lines without their times."""
    return [re.sub(r"^ *\d+\.\d+s  ", "", line) for line in text.getvalue().splitlines()]


def test_plain_lines_name_a_phase_once() -> None:
    made, text = console(terminal=False)
    with Display(made) as display, display.task("mx small-1") as task:
        task.update("layer base, install: 50-a")
        task.update("layer base, install: 51-b")
        task.update("layer base, cleanup: 60-c")
        task.update("disk")
    assert words(text) == [
        "mx small-1: layer base, install: 50-a",
        "mx small-1: layer base, cleanup: 60-c",
        "mx small-1: disk",
        "mx small-1: done",
    ]
    assert all(re.match(r"^ +\d+\.\ds  ", line) for line in text.getvalue().splitlines())
    assert "\x1b" not in text.getvalue()


def test_failure_is_said_and_passed_on() -> None:
    made, text = console(terminal=False)
    with pytest.raises(ValueError, match="why"), Display(made) as display, display.task("mx"):
        raise ValueError("why")
    assert words(text) == ["mx: failed"]


def test_long_lines_are_not_broken() -> None:
    made, text = console(terminal=False)
    with Display(made) as display:
        display.note("x" * 500)
    assert text.getvalue() == "x" * 500 + "\n"


def test_live_line_on_a_terminal() -> None:
    made, text = console(terminal=True)
    with Display(made) as display, display.task("mx small-1") as task:
        task.update("layer base, install: 50-a")
        assert display.live is not None
        display.live.refresh()
        task.update("disk")
        display.live.refresh()
    shown = text.getvalue()
    assert "\x1b[" in shown, "no control codes: it was not live"
    assert "mx small-1 layer base, install: 50-a" in shown
    assert "mx small-1 disk" in shown
    assert re.search(r"mx small-1 done +0:00:0", shown)
    assert shown.endswith("\x1b[?25h"), "the cursor is shown again"
    assert display.live is None


def test_live_display_ends_with_a_failure() -> None:
    made, text = console(terminal=True)
    display = Display(made)
    with pytest.raises(ValueError, match="why"), display, display.task("mx"):
        raise ValueError("why")
    assert "mx failed" in text.getvalue()
    assert display.live is None


def test_amounts_are_a_few_lines_in_a_log() -> None:
    made, text = console(terminal=False)
    with Display(made) as display, display.task("mx.qcow2") as task:
        for turn in range(2):
            task.update(f"sending {turn}")
            for part in range(1, 101):
                task.amount(part * MIB, 100 * MIB)
    assert words(text) == [
        *(f"mx.qcow2: {line}" for turn in range(2) for line in (
            f"sending {turn}", "30 of 100 MiB", "60 of 100 MiB", "90 of 100 MiB")),
        "mx.qcow2: done",
    ]


def test_amounts_are_a_bar_on_a_terminal() -> None:
    made, text = console(terminal=True)
    with Display(made) as display, display.task("mx.qcow2") as task:
        assert display.live is not None
        task.update("sending")
        display.live.refresh()
        assert "MiB" not in text.getvalue()
        task.amount(25 * MIB, 100 * MIB)
        display.live.refresh()
        assert "25 of 100 MiB" in text.getvalue()
        assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in text.getvalue()
        before = len(text.getvalue())
        task.update("checking")
        display.live.refresh()
        assert "of 100 MiB" not in text.getvalue()[before:]


def test_an_empty_amount_is_nothing() -> None:
    made, text = console(terminal=False)
    with Display(made) as display, display.task("mx") as task:
        task.amount(0, 0)
    assert words(text) == ["mx: done"]
