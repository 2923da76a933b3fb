"""What a benchmark run found, and the tables made of it: values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True)
class Row:
    """One measured run.

    Attributes:
        what: what was built.
        seconds: wall clock.
        image_bytes: of all images it was about.
        memory_bytes: highest sum of the resident memory of all its processes.
        disk_bytes: highest use of its working folders, images included.
    """

    what: str
    seconds: float
    image_bytes: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Target:
    """A promise: `value` of the run stays below `limit`; `words` say what was promised."""

    words: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit


@dataclass(frozen=True)
class Figures:
    """All runs; `yardstick` first in every table, its seconds and bytes are 1.0 of each ratio."""

    yardstick: Row
    one: Row
    every: Row
    unchanged: Row
    template: Row
    package: Row

    @property
    def rows(self) -> tuple[Row, ...]:
        return (self.yardstick, self.one, self.every, self.unchanged, self.template, self.package)

    def ratio(self, row: Row) -> float:
        """Seconds of a run over those of the yardstick."""
        return row.seconds / self.yardstick.seconds

    @property
    def targets(self) -> tuple[Target, ...]:
        """What the project promises of its speed and size."""
        ours = [self.one, self.every, self.unchanged, self.template, self.package]
        return (
            Target("all roles, cold: seconds / yardstick", self.ratio(self.every), 1.5),
            Target("nothing changed: seconds", self.unchanged.seconds, 1.0),
            Target("one template edited: seconds / yardstick", self.ratio(self.template), 0.15),
            Target("one package added: seconds / yardstick", self.ratio(self.package), 0.4),
            Target("image: bytes / yardstick", self.one.image_bytes / self.yardstick.image_bytes, 0.6),
            Target("memory: GiB", max(row.memory_bytes for row in ours) / GIB, 4.0),
            Target("all roles, cold: peak disk / images", self.every.disk_bytes / self.every.image_bytes, 6.0),
        )


HEAD = ("run", "seconds", "of the yardstick", "images, MiB", "peak memory, MiB", "peak disk, MiB")


def cells(figures: Figures) -> list[tuple[str, ...]]:
    """The table's cells as text."""
    return [
        (row.what, f"{row.seconds:.1f}", f"{figures.ratio(row):.2f}", f"{row.image_bytes / MIB:.0f}",
         f"{row.memory_bytes / MIB:.0f}", f"{row.disk_bytes / MIB:.0f}")
        for row in figures.rows
    ]


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table as Markdown; all columns but the first are numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def report(figures: Figures, notes: Sequence[str]) -> str:
    """Both tables and what has to be known to read them, as Markdown."""
    targets = [
        (target.words, f"{target.value:.2f}", f"{target.limit:g}", "yes" if target.met else "NO")
        for target in figures.targets
    ]
    return "\n\n".join([
        markdown(HEAD, cells(figures)),
        markdown(("target", "measured", "at most", "met"), targets),
        "\n".join(f"- {note}" for note in notes),
    ])


def document(figures: Figures, notes: Sequence[str]) -> Mapping[str, Any]:
    """The same for programs."""
    names = ("yardstick", "one", "every", "unchanged", "template", "package")
    named = zip(names, figures.rows, strict=True)
    return {
        "runs": {name: {**asdict(row), "ratio": figures.ratio(row)} for name, row in named},
        "targets": [{**asdict(target), "met": target.met} for target in figures.targets],
        "notes": list(notes),
    }
