"""What can go wrong, in words for the person at the terminal.

Only `cli.main` prints these and exits; everything below raises.
"""

from __future__ import annotations

from collections.abc import Sequence


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


class StepError(MailimgError):
    """Work failed; `tail` holds the last lines of what the failing program said."""

    def __init__(self, message: str, hint: str = "", tail: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.tail = tuple(tail)
