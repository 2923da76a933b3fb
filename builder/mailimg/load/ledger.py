"""Nothing lost, nothing twice: what was taken against what arrived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailimg.load.generator import DOUBTFUL, UNANSWERED, Outcome


@dataclass(frozen=True)
class Ledger:
    """Numbers of letters.

    Attributes:
        taken: answered with 2xx.
        later: with 4xx, by code.
        refused: with 5xx, by code.
        unanswered: nobody took them, nobody said no.
        doubtful: sent whole, and no answer; may have arrived or not, but once.
        lost: taken and not there.
        twice: there more than once.
        phantom: there and not taken, nor doubtful.
    """

    sent: int
    taken: int
    later: dict[int, int]
    refused: dict[int, int]
    unanswered: int
    doubtful: int
    lost: tuple[int, ...]
    twice: tuple[int, ...]
    phantom: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Every letter that was taken is there exactly once, and no other."""
        return not (self.lost or self.twice or self.phantom)

    def __str__(self) -> str:
        parts = [f"{self.taken} of {self.sent} taken"]
        parts += [f"{count} x {code}" for code, count in sorted({**self.later, **self.refused}.items())]
        for name in ("unanswered", "doubtful"):
            if getattr(self, name):
                parts.append(f"{getattr(self, name)} {name}")
        for name in ("lost", "twice", "phantom"):
            if numbers := getattr(self, name):
                parts.append(f"{len(numbers)} {name.upper()} (number {numbers[0]} ...)")
        return ", ".join([*parts, "each taken one arrived once"] if self.whole else parts)


def ledger(outcomes: Sequence[Outcome], arrived: Iterable[int]) -> Ledger:
    """Compare; `arrived` has a number as often as its letter is there."""
    there = Counter(arrived)
    taken = {one.number for one in outcomes if 200 <= one.code < 300}
    doubtful = {one.number for one in outcomes if one.code == DOUBTFUL}
    codes = Counter(one.code for one in outcomes)
    return Ledger(
        sent=len(outcomes),
        taken=len(taken),
        later={code: count for code, count in codes.items() if 400 <= code < 500},
        refused={code: count for code, count in codes.items() if code >= 500},
        unanswered=codes[UNANSWERED],
        doubtful=len(doubtful),
        lost=tuple(sorted(taken - set(there))),
        twice=tuple(sorted(number for number, count in there.items() if count > 1)),
        phantom=tuple(sorted(set(there) - taken - doubtful)),
    )
