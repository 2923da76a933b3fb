"""`mailimg plan`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from mailimg import apt, gather
from mailimg.commands import options
from mailimg.plan import GIB
from mailimg.resources import installed
from mailimg.store import Store


@click.command()
@options.role
@options.every
@options.distro
@options.roles_path
@options.elements_path
@options.form
@options.compress
@options.mirror
@click.option("--resolve", is_flag=True, help="Ask the mirror for its package index: the identities a build would use.")
@options.store
@options.as_json
def plan(
    roles: tuple[str, ...],
    every: bool,
    distro: str,
    own_roles: tuple[Path, ...],
    own_elements: tuple[Path, ...],
    form: str,
    compress: str,
    mirror: str | None,
    resolve: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Show what would be built: layers, their elements and identities.

    Needs no root and, without --resolve, no network. With --resolve it also tells which layers are in the store.
    """
    resources = installed(own_roles, own_elements)
    pairs, chosen = gather.load(resources, options.chosen_roles(resources, roles, every), distro)
    sources = apt.sources(chosen.packages["suites"], chosen.packages["component"], mirror)
    inputs = gather.measure(resources, pairs, chosen, sources, index=resolve)
    plans = gather.plans(pairs, chosen, inputs, form=form, compress=compress)
    if as_json:
        click.echo(json.dumps([asdict(image) for image in plans], indent=2))
        return
    known = Store(store) if resolve and store.is_dir() else None
    for image in plans:
        click.echo(f"{image.file_name}  {image.identity[:12]}  {image.size_bytes / GIB:.0f} GiB, {image.compress}")
        for layer in image.layers:
            state = "" if known is None else ("  in store" if known.peek(layer.identity) else "  to build")
            click.echo(f"  {layer.name:14} {layer.identity[:12]}{state}  {' '.join(layer.elements)}")
    if not resolve:
        click.echo("Identities without the package index; --resolve asks the mirror.", err=True)
