"""What can go wrong, in words for the person at the console.

Only `cli.main` prints these and exits; everything below raises.
"""

from typing import Sequence


class FirstbootError(Exception):
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


class DocumentError(FirstbootError):
    """A document is wrong; carries every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], hint: str = "") -> None:
        super().__init__("\n".join(problems), hint)
        self.problems = tuple(problems)


class StepError(FirstbootError):
    """A step cannot reach its goal; trying again would not help."""


class TransientError(FirstbootError):
    """It did not work now, but may in a moment; the only kind that is tried again.

    Args:
        progress: something was reached meanwhile: waits begin anew, small ones.
    """

    def __init__(self, message: str, hint: str = "", progress: bool = False) -> None:
        super().__init__(message, hint)
        self.progress = progress


class GaveUpError(FirstbootError):
    """What was transient did not pass before its deadline."""


class TolerableError(FirstbootError):
    """Not as wished, but the node can serve; becomes a warning."""


class CutError(FirstbootError):
    """Something else ended the run, and this was not finished."""


class LeavingError(FirstbootError):
    """The node is to leave, not to serve."""


class BusyError(FirstbootError):
    """Another run is at work on this machine."""


class SignalError(FirstbootError):
    """A signal asked the run to end."""

    exit_code = 130
