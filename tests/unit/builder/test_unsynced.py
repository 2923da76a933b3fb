"""The filter of unsynced.py, run by a small interpreter of its own."""

from __future__ import annotations

import pytest

from mailimg import unsynced


def verdict(arch: int, number: int) -> int:
    """What the filter answers to a system call of an architecture."""
    code, place, loaded = unsynced.instructions(), 0, 0
    while True:
        operation, equal, other, value = code[place]
        place += 1
        if operation == unsynced.LOAD:
            loaded = {unsynced.NUMBER_OFFSET: number, unsynced.ARCH_OFFSET: arch}[value]
        elif operation == unsynced.JUMP_EQUAL:
            place += equal if loaded == value else other
        else:
            return value


@pytest.mark.parametrize("number", unsynced.SYNCS)
def test_syncs_succeed_without_being_called(number: int) -> None:
    assert verdict(unsynced.AUDIT_ARCH_X86_64, number) == unsynced.SUCCEED


@pytest.mark.parametrize("number", [0, 1, 27, 59, 73, 76, 161, 163, 276, 278, 305, 307])
def test_everything_else_passes(number: int) -> None:
    assert verdict(unsynced.AUDIT_ARCH_X86_64, number) == unsynced.ALLOW


@pytest.mark.parametrize("number", unsynced.SYNCS)
def test_the_same_numbers_mean_other_calls_elsewhere(number: int) -> None:
    assert verdict(0x40000003, number) == unsynced.ALLOW
