"""Drawings as values: rectangles and texts with their places; the template only writes them down as SVG."""

from __future__ import annotations

from dataclasses import dataclass

# Mean width of a letter of a sans-serif font, in parts of its size; on the wide side, so that nothing runs over.
LETTER = 0.6
SMALL, TITLE = 11.0, 13.0  # sizes of letters
PAD = 4.0
FEWEST = 6  # letters of a name that was cut


@dataclass(frozen=True)
class Text:
    """A line of text; `anchor` is `start`, `middle` or `end`."""

    x: float
    y: float
    words: str
    size: float = SMALL
    anchor: str = "start"
    style: str = ""


@dataclass(frozen=True)
class Box:
    """A rectangle with what is written in it; `title` is shown under the pointer.

    Attributes:
        layer: number that chooses the colour; -1 for none.
        style: class beside it.
    """

    x: float
    y: float
    width: float
    height: float
    title: str
    layer: int = -1
    style: str = ""
    texts: tuple[Text, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line from one place to another."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Drawing:
    """One picture; `words` says in a sentence what it shows."""

    width: float
    height: float
    words: str
    boxes: tuple[Box, ...]
    texts: tuple[Text, ...] = ()
    lines: tuple[Line, ...] = ()


def fitting(words: str, width: float, size: float = SMALL) -> str:
    """As much of a text as fits into a width; nothing when too few letters would be left to tell what it is."""
    room = int(width / (size * LETTER))
    if len(words) <= room:
        return words
    return f"{words[: room - 1]}…" if room >= FEWEST else ""


def text_width(words: str, size: float = SMALL) -> float:
    """How wide a text is, about."""
    return len(words) * size * LETTER


def label(x: float, y: float, width: float, height: float, name: str, value: str) -> tuple[Text, ...]:
    """A name and a number in the upper left corner of a box: the name cut to the width, the number whole or absent."""
    line, room = SMALL + 2, width - 2 * PAD
    cut = fitting(name, room)
    if not cut or PAD + line > height:
        return ()
    texts = [Text(x + PAD, y + PAD + line - 2, cut)]
    if text_width(value) <= room and PAD + 2 * line <= height:
        texts.append(Text(x + PAD, y + PAD + 2 * line - 2, value, style="quiet"))
    return tuple(texts)
