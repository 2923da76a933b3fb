"""Trying again what is transient: growing, capped, scattered waits up to a deadline that stands in the log."""

import os
import select
import time
from typing import Callable, TypeVar

from mailimg_firstboot.errors import CutError, GaveUpError, TransientError

T = TypeVar("T")

# Seconds of the first wait, at most; each next one is twice as long, up to the cap.
FIRST_WAIT = 0.5
LONGEST_WAIT = 15.0


class Clock:
    """Time as steps see it, in several threads; tests bring their own."""

    def __init__(self) -> None:
        # A byte in it ends all waits. Not threading.Event: Python 3.6 waits for a time of day there, so a clock that is
        # set back by an hour meanwhile, which is what some steps wait for, would prolong the wait by that hour.
        self._end, self._bell = os.pipe()
        os.set_blocking(self._end, False)

    def __del__(self) -> None:
        """Close the pipe."""
        os.close(self._end)
        os.close(self._bell)

    def cut(self) -> None:
        """End all waits; whoever waits, or begins to before `mend`, gets a CutError."""
        os.write(self._bell, b"!")

    def mend(self) -> None:
        """There may be waits again."""
        try:
            while os.read(self._end, 64):
                pass
        except BlockingIOError:
            pass

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            CutError: the run ends.
        """
        if select.select([self._end], [], [], seconds)[0]:
            raise CutError("the wait was cut off")

    def spread(self, seconds: float) -> float:
        """Between half of it and all of it: a group of instances that boots at once must not ask in step."""
        import random  # late: see cli

        return random.uniform(seconds / 2, seconds)  # noqa: S311 - guards nothing

    def epoch(self) -> float:
        """The time of day in seconds since 1970."""
        return time.time()

    def stamp(self) -> str:
        """The time of day as people and logs write it, UTC."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def keep_trying(
    attempt: Callable[[], T], clock: Clock, patience: float, note: Callable[[str], None],
    longest: float = LONGEST_WAIT,
) -> T:
    """Call `attempt` until it does not raise TransientError.

    Args:
        attempt: is called at least once.
        clock: measures and waits.
        patience: seconds from now after which no further wait begins.
        note: is told, before each wait, why, how long and how much time is left.
        longest: cap of a single wait in seconds.

    Raises:
        GaveUpError: the last TransientError's words, with the number of attempts and the time they took.
    """
    begun, wait, attempts = clock.now(), FIRST_WAIT, 0
    while True:
        attempts += 1
        try:
            return attempt()
        except TransientError as error:
            left = begun + patience - clock.now()
            if left <= 0:
                words = error.message
                if attempts > 1:
                    words += " (tried {} times in {:.0f} s)".format(attempts, clock.now() - begun)
                raise GaveUpError(words, error.hint) from error
            wait = FIRST_WAIT if error.progress else wait
            wait_now = min(clock.spread(wait), left)
            note("{}; again in {:.1f} s, deadline in {:.0f} s".format(error.message, wait_now, left))
        clock.sleep(wait_now)
        wait = min(wait * 2, longest)
