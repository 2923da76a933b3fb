"""What diskimage-builder prints, read line by line: who runs, for how long, and why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailimg.dib import DibLog, HookTime, failure
from mailimg.errors import StepError

# Of a real run, in which a hook of element tiny failed.
FAILED = Path(__file__).parents[2] / "data" / "dib-failure.log"


def ticks() -> Iterator[float]:
    """A clock that goes on by one second each time it is asked."""
    second = 100.0
    while True:
        yield second
        second += 1


def read(lines: list[str]) -> tuple[DibLog, list[tuple[str, str]]]:
    seen: list[tuple[str, str]] = []
    clock = ticks()
    log = DibLog(lambda phase, hook: seen.append((phase, hook)), clock=lambda: next(clock))
    for line in lines:
        log.feed(line)
    return log, seen


@pytest.fixture
def lines() -> list[str]:
    return FAILED.read_text().splitlines()


def test_hooks_are_told_when_they_start(lines: list[str]) -> None:
    assert read(lines)[1] == [
        ("pre-install", "99-apt-get-update"),
        ("pre-install", "99-package-uninstalls"),
        ("install", "01-package-installs"),
        ("install", "10-tiny-kernel"),
        ("install", "50-tiny-fails"),
    ]


def test_finished_hooks_have_their_times(lines: list[str]) -> None:
    log, _ = read(lines)
    assert log.hooks == [
        HookTime("pre-install", "99-apt-get-update", 1.0, 1.0),
        HookTime("pre-install", "99-package-uninstalls", 3.0, 1.0),
        HookTime("install", "01-package-installs", 5.0, 1.0),
        HookTime("install", "10-tiny-kernel", 7.0, 1.0),
    ]


def test_last_lines_are_the_failing_hooks_own(lines: list[str]) -> None:
    log, _ = read(lines)
    assert log.running == ("install", "50-tiny-fails")
    assert list(log.tail) == ["what it tried", "why it failed"]
    assert any(line.startswith("Unmount ") for line in lines), "else nothing was dropped"


def test_tail_is_short() -> None:
    log, _ = read(["dib-run-parts Running /x/install.d/50-a", *(f"line {number}" for number in range(100))])
    assert list(log.tail) == [f"line {number}" for number in range(80, 100)]


def test_tail_of_a_finished_hook_is_forgotten() -> None:
    lines = ["dib-run-parts Running /x/install.d/50-a", "chatter", "dib-run-parts 50-a completed", "", "after"]
    log, _ = read(lines)
    assert log.running is None
    assert list(log.tail) == ["after"]


def test_chatter_between_hooks_is_not_the_next_hooks() -> None:
    log, _ = read(["Copying hooks for x", "dib-run-parts Running /x/install.d/50-a", "own words"])
    assert list(log.tail) == ["own words"]


def test_end_of_another_hook_ends_nothing() -> None:
    log, _ = read(["dib-run-parts Running /x/install.d/50-a", "dib-run-parts 51-b completed"])
    assert log.running == ("install", "50-a")


def elements(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "tiny" / "install.d").mkdir(parents=True)
    (tmp_path / "tiny" / "install.d" / "50-tiny-fails").touch()
    (tmp_path / "other" / "pre-install.d").mkdir(parents=True)
    (tmp_path / "other" / "pre-install.d" / "50-tiny-fails").touch()
    return {"other": tmp_path / "other", "tiny": tmp_path / "tiny"}


def failed(log: DibLog, status: int, tmp_path: Path) -> StepError:
    return failure(log, status, elements(tmp_path), Path("/srv/store/logs/x.log"), Path("/srv/store/work/piece"))


def test_failure_names_element_phase_and_hook(lines: list[str], tmp_path: Path) -> None:
    error = failed(read(lines)[0], 3, tmp_path)
    assert error.message == "element tiny, hook install.d/50-tiny-fails ended with status 3"
    assert error.tail == ("what it tried", "why it failed")
    assert error.hint == "The whole output is in /srv/store/logs/x.log"


def test_killed_hook(lines: list[str], tmp_path: Path) -> None:
    assert failed(read(lines)[0], -9, tmp_path).message.endswith(" ended with signal SIGKILL")


def test_hook_that_no_element_has(tmp_path: Path) -> None:
    log, _ = read(["dib-run-parts Running /x/cleanup.d/99-nobody"])
    assert failed(log, 1, tmp_path).message == "element unknown, hook cleanup.d/99-nobody ended with status 1"


def test_failure_between_hooks(tmp_path: Path) -> None:
    log, _ = read(["Building elements: x", "Unmount /a", "INFO diskimage_builder.x [-] y", "cannot mount /proc"])
    error = failed(log, 32, tmp_path)
    assert error.message == "diskimage-builder ended with status 32 outside of any hook"
    assert error.tail == ("Building elements: x", "cannot mount /proc")


def test_full_disk_is_remembered_though_much_follows(tmp_path: Path) -> None:
    log, _ = read(
        [
            "dib-run-parts Running /x/install.d/50-tiny-fails",
            "tar: ./usr/bin/x: Cannot write: No space left on device",
            *(f"line {number}" for number in range(100)),
        ]
    )
    error = failed(log, 2, tmp_path)
    assert error.hint.startswith("The disk that holds /srv/store/work/piece is full. Free some space")
    assert error.hint.endswith("The whole output is in /srv/store/logs/x.log")
