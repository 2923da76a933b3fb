"""One HTML page about one or more images, with all it needs inside: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mailimg.report.figures import Figures, size_words, time_words
from mailimg.report.timeline import time_line
from mailimg.report.treemap import tree_map

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
TOP_PACKAGES, TOP_HOOKS = 25, 20


def render(images: Sequence[Figures], version: str) -> str:
    """The page.

    Args:
        version: of mailimg.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size_words, "seconds": time_words, "place": place_words}
    return environment.get_template("report.html.j2").render(
        images=[(figures, tree_map(figures), time_line(figures)) for figures in images],
        version=version,
        top_packages=TOP_PACKAGES,
        top_hooks=TOP_HOOKS,
    )


def place_words(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")
