"""What can go wrong, in words for the person at the terminal.

Only `cli.main` prints these and exits; everything below raises.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FULL_HINT = "Free some space (`mailimg clean` removes old layers), or choose --store and --output elsewhere."


class MailimgError(Exception):
    """Root of all errors; `exit_code` is the status of the command.

    Args:
        message: what we were doing and what went wrong.
        hint: what to do next; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(MailimgError):
    """The user's input is wrong; carries every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], hint: str = "") -> None:
        super().__init__("\n".join(problems), hint)
        self.problems = tuple(problems)


class Problems:
    """Gathers what several checks find, so that the user gets all of it at once."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.hints: list[str] = []

    def of(self, check: Callable[[], T]) -> T | None:
        """The result of a check; None when it raised an InputError, which is kept."""
        try:
            return check()
        except InputError as error:
            self.found += [problem for problem in error.problems if problem not in self.found]
            self.hints += [error.hint] if error.hint and error.hint not in self.hints else []
            return None

    def stop(self) -> None:
        """Raise what was found, if anything was."""
        if self.found:
            raise InputError(self.found, "\n".join(self.hints))


class StepError(MailimgError):
    """Work failed; `tail` holds the last lines of what the failing program said."""

    def __init__(self, message: str, hint: str = "", tail: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.tail = tuple(tail)


class InterruptedElsewhereError(StepError):
    """Interrupted while something that is not ours to stop goes on."""

    exit_code = 130


def refused(what: str, error: OSError, place: Path) -> StepError:
    """What the system refused while the builder itself wrote files, in words.

    Args:
        what: what we were doing.
        place: where, if the system does not name it.
    """
    hint = FULL_HINT if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return StepError(f"{what}: {error.strerror or error}: {error.filename or place}", hint)
