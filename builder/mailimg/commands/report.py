"""`mailimg report`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailimg import manifest, whole
from mailimg.commands.diff import image_of
from mailimg.errors import Problems, refused
from mailimg.report.figures import Figures, figures, size_words, time_words
from mailimg.report.page import render

TOP = 10


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="IMAGE...")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also draw it: one HTML file with all inside."
)
def report(images: tuple[Path, ...], output: Path | None) -> None:
    """Say where size and time of images went: packages by layer, layers and hooks by seconds.

    Reads only the manifests beside the images; neither root nor the layer store is needed.

    \b
      mailimg report images/out/smtp-in-debian-12.qcow2
      mailimg report images/out/*.qcow2 --output report.html
    """
    problems = Problems()
    documents = [problems.of(partial(manifest.read, image_of(path))) for path in images]
    problems.stop()
    found = [figures(document) for document in documents if document is not None]
    if output is not None:
        try:
            with whole.written(output) as stream:
                stream.write(render(found, package_version("mailimg")))
        except OSError as error:
            raise refused("write the report", error, output) from error
    console = Console()
    for one in found:
        show(one, console)
    if output is not None:
        console.print(f"[bold]{output}[/bold]", highlight=False, soft_wrap=True)


def show(one: Figures, console: Console) -> None:
    """The summary on the terminal."""
    console.print(Text(one.name, style="bold"))
    console.print(
        f"  {size_words(one.image_bytes)} image, {size_words(one.tree_bytes)} of files, {len(one.packages)} packages; "
        f"built in {time_words(one.took)}, {time_words(one.from_nothing)} without any layer in store",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    rows = [
        (layer.name, "unknown" if layer.added is None else size_words(layer.added), str(len(layer.packages)),
         f"{time_words(layer.seconds)}{' (reused)' if layer.reused else ''}")
        for layer in one.layers
    ]  # fmt: skip
    rows += [(name, "", "", time_words(seconds)) for name, seconds in one.stages.items()]
    console.print(table(("layer", "grew by", "packages", "time"), rows))
    packages = [(package.name, package.layer, size_words(package.size)) for package in one.packages[:TOP]]
    console.print(table(("largest packages", "layer", "size"), packages))
    hooks = [(f"{hook.phase}.d/{hook.hook}", hook.layer, time_words(hook.seconds)) for hook in one.hooks[:TOP]]
    console.print(table(("slowest hooks", "layer", "time"), hooks))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; numbers stand to the right."""
    made = Table(box=None, padding=(0, 2))
    for head in heads:
        made.add_column(head, justify="left" if head in (heads[0], "layer") else "right", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made
