"""`mailimg plan`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from mailimg.commands import options
from mailimg.commands.request import Request, planned, request
from mailimg.plan import GIB
from mailimg.store import Store


@click.command()
@request
@click.option(
    "--resolve", is_flag=True, help="Ask the archives for their package indexes: the identities a build would use."
)
@options.as_json
def plan(asked: Request, resolve: bool, as_json: bool) -> None:
    """Show what would be built: layers, their elements and identities.

    Needs no root and, without --resolve, no network. With --resolve it also tells which layers are in the store.
    """
    images = planned(asked, index=resolve).images
    if as_json:
        click.echo(json.dumps([asdict(image) for image in images], indent=2))
        return
    known = Store(asked.store) if resolve and asked.store.is_dir() else None
    for image in images:
        click.echo(f"{image.file_name}  {image.identity[:12]}  {image.size_bytes / GIB:.0f} GiB, {image.compress}")
        for layer in image.layers:
            state = "" if known is None else ("  in store" if known.peek(layer.identity) else "  to build")
            click.echo(f"  {layer.name:14} {layer.identity[:12]}{state}  {' '.join(layer.elements)}")
    if not resolve:
        click.echo("Identities without the package index; --resolve asks the archives.", err=True)
