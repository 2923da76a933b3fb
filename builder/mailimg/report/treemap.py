"""Where the size went: a tree map of packages, grouped by the layer that brought them."""

from __future__ import annotations

from collections.abc import Sequence

from mailimg.report.drawing import PAD, TITLE, Box, Drawing, Text, fitting, label
from mailimg.report.figures import Figures, LayerCost, size_words

WIDTH, HEIGHT = 1120.0, 600.0
HEAD = 20.0  # room for a layer's name
GAP = 3.0  # between layers

Place = tuple[float, float, float, float]  # x, y, width, height


def squarify(sizes: Sequence[float], place: Place) -> list[Place]:
    """Places that share out a rectangle in proportion to sizes, each as near to a square as it goes.

    The algorithm of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).

    Args:
        sizes: above zero, the largest first.
    """
    x, y, width, height = place
    scale = width * height / sum(sizes) if sizes else 0.0
    areas = [size * scale for size in sizes]
    places: list[Place] = []
    first = 0
    while first < len(areas):
        side = min(width, height)
        last = first + 1
        while last < len(areas) and worst(areas[first : last + 1], side) <= worst(areas[first:last], side):
            last += 1
        row = areas[first:last]
        depth = sum(row) / side if side else 0.0
        at = 0.0
        for area in row:
            length = area / depth if depth else 0.0
            places.append((x, y + at, depth, length) if width >= height else (x + at, y, length, depth))
            at += length
        if width >= height:
            x, width = x + depth, max(0.0, width - depth)
        else:
            y, height = y + depth, max(0.0, height - depth)
        first = last
    return places


def worst(row: Sequence[float], side: float) -> float:
    """How far from a square the worst rectangle of a row is: 1 is a square."""
    total = sum(row)
    if not side or not total:
        return 1.0
    return max(side**2 * max(row) / total**2, total**2 / (side**2 * min(row)))


def tree_map(figures: Figures) -> Drawing:
    """Packages by installed size; what a layer brought beside packages is a box of its own."""
    layers = [(number, layer) for number, layer in enumerate(figures.layers) if layer_size(layer) > 0]
    layers.sort(key=lambda pair: -layer_size(pair[1]))
    boxes: list[Box] = []
    places = squarify([layer_size(layer) for _, layer in layers], (0.0, 0.0, WIDTH, HEIGHT))
    for (number, layer), place in zip(layers, places, strict=True):
        boxes += layer_boxes(number, layer, place)
    words = f"Packages of {figures.name} by installed size, grouped by layer"
    return Drawing(WIDTH, HEIGHT, words, tuple(boxes))


def layer_size(layer: LayerCost) -> int:
    """What the map draws of a layer, in bytes."""
    return layer.package_bytes + layer.other_bytes


def layer_boxes(number: int, layer: LayerCost, place: Place) -> list[Box]:
    """A layer's frame with its name, and its packages in it."""
    x, y, width, height = place
    x, y, width, height = x + GAP / 2, y + GAP / 2, max(0.0, width - GAP), max(0.0, height - GAP)
    name = f"{layer.name}  {size_words(layer_size(layer))}"
    count = f"{len(layer.packages)} packages"
    cut = fitting(name, width - 2 * PAD, TITLE) or fitting(layer.name, width - 2 * PAD, TITLE)
    headed = height > 2 * HEAD and bool(cut)
    title = (Text(x + PAD, y + HEAD - 6, cut, TITLE, style="head"),) if headed else ()
    boxes = [Box(x, y, width, height, f"layer {name}, {count}", number, "frame", title)]
    items = [(package.name, f"{package.name} {package.version}", package.size) for package in layer.packages]
    if layer.other_bytes:
        items.append(("files of no package", f"layer {layer.name}: files of no package", layer.other_bytes))
    items = sorted((item for item in items if item[2] > 0), key=lambda item: -item[2])
    top = HEAD if headed else 0.0
    cells = squarify([size for _, _, size in items], (x, y + top, width, height - top))
    for (name, words, size), (left, upper, wide, high) in zip(items, cells, strict=True):
        shown = size_words(size)
        texts = label(left, upper, wide, high, name, shown)
        boxes.append(Box(left, upper, wide, high, f"{words}: {shown}", number, "cell", texts))
    return boxes
