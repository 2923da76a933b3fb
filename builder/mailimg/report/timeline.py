"""Where the time went: one row a layer with its hooks, then disk and image, as they follow each other."""

from __future__ import annotations

from collections.abc import Iterator

from mailimg.report.drawing import PAD, SMALL, TITLE, Box, Drawing, Line, Text, fitting, text_width
from mailimg.report.figures import Figures, LayerCost, time_words

WIDTH = 1120.0
LEFT = 120.0  # names of rows
RIGHT = 20.0
ROW, BAR = 34.0, 24.0
AXIS = 26.0
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
TICKS = 12  # at most


def time_line(figures: Figures) -> Drawing:
    """The build from nothing; layers that came from the store are hatched, at the length they once took."""
    total = max(figures.from_nothing, 0.1)
    scale = (WIDTH - LEFT - RIGHT) / total
    boxes: list[Box] = []
    texts: list[Text] = []
    begun, top = 0.0, AXIS
    for number, layer in enumerate(figures.layers):
        seconds = layer.seconds or 0.0
        said = f"{time_words(layer.seconds)}{', reused' if layer.reused else ''}"
        boxes += layer_bar(number, layer, LEFT + begun * scale, top, scale)
        texts += row_texts(layer.name, said, LEFT + begun * scale, seconds * scale, top)
        begun, top = begun + seconds, top + ROW
    for name, seconds in figures.stages.items():
        x = LEFT + begun * scale
        boxes.append(Box(x, top, max(1.0, seconds * scale), BAR, f"{name}: {time_words(seconds)}", -1, "stage"))
        texts += row_texts(name, time_words(seconds), x, seconds * scale, top)
        begun, top = begun + seconds, top + ROW
    step = tick_step(total)
    marks = [float(mark) for mark in range(0, int(total) + 1, step)]
    lines = tuple(Line(LEFT + mark * scale, AXIS - 6, LEFT + mark * scale, top - ROW + BAR) for mark in marks)
    texts += [Text(LEFT + mark * scale, AXIS - 12, tick_words(mark, step), SMALL, "middle", "quiet") for mark in marks]
    words = f"Build of {figures.name}: seconds of each layer, hook and stage"
    return Drawing(WIDTH, top - ROW + BAR + 8, words, tuple(boxes), tuple(texts), lines)


def layer_bar(number: int, layer: LayerCost, x: float, top: float, scale: float) -> Iterator[Box]:
    """A layer's bar and, in it, its hooks; the name of a hook stands in it where it fits."""
    reused = " hatched" if layer.reused else ""
    title = f"layer {layer.name}: {time_words(layer.seconds)}{' (reused)' if layer.reused else ''}"
    yield Box(x, top, max(1.0, (layer.seconds or 0.0) * scale), BAR, title, number, f"bar{reused}")
    for hook in layer.hooks:
        width = hook.seconds * scale
        if width < 0.5:
            continue
        left = x + hook.start * scale
        label = fitting(hook_name(hook.hook), width - 2 * PAD)
        texts = (Text(left + PAD, top + BAR / 2 + SMALL / 2 - 1, label),) if label else ()
        title = f"{hook.phase}.d/{hook.hook}: {time_words(hook.seconds)}"
        yield Box(left, top, width, BAR, title, number, f"hook{reused}", texts)


def hook_name(hook: str) -> str:
    """A hook's name without its number."""
    number, _, name = hook.partition("-")
    return name if number.isdigit() and name else hook


def row_texts(name: str, said: str, x: float, width: float, top: float) -> list[Text]:
    """A row's name on the left, and its time behind the bar, or before it where there is no room behind."""
    base = top + BAR / 2 + TITLE / 2 - 2
    behind = x + width + PAD + text_width(said) < WIDTH
    place = Text(x + width + PAD, base, said) if behind else Text(x - PAD, base, said, anchor="end")
    return [Text(LEFT - 2 * PAD, base, fitting(name, LEFT - 3 * PAD, TITLE) or name, TITLE, "end"), place]


def tick_step(total: float) -> int:
    """A round number of seconds between two marks of the axis, so that there are not too many of them."""
    return next((step for step in STEPS if total / step <= TICKS), max(STEPS[-1], int(total)))


def tick_words(mark: float, step: int) -> str:
    """A place on the axis, all in one unit: `30 s`, `2 min`."""
    return f"{mark / 60:.0f} min" if step % 60 == 0 else f"{mark:.0f} s"
