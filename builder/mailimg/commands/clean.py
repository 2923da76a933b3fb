"""`mailimg clean`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from mailimg.commands import options
from mailimg.store import Store

DAY_SECONDS = 86400


@click.command()
@click.option("--older-than", "days", type=float, default=14.0, show_default=True, help="Days since last use.")
@click.option("--all", "everything", is_flag=True, help="Every layer, whatever its age.")
@options.store
@options.as_json
def clean(days: float, everything: bool, store: Path, as_json: bool) -> None:
    """Remove layers that no build has used for a while, and what killed builds left behind.

    Images are never touched. A removed layer is built again when a build needs it.
    """
    options.need_root("cleaning the layer store")
    layers = Store(store)
    layers.sweep()
    limit = time.time() - days * DAY_SECONDS
    removed = [layer for layer in layers.layers() if everything or layers.used(layer.identity) < limit]
    before = layers.free_bytes()
    for layer in removed:
        layers.drop(layer.identity)
    freed = max(0, layers.free_bytes() - before)
    if as_json:
        click.echo(json.dumps({"removed": [layer.identity for layer in removed], "freed_bytes": freed}, indent=2))
        return
    for layer in removed:
        click.echo(f"removed {layer.facts['name']:14} {layer.identity[:12]}")
    click.echo(f"{len(removed)} layers removed, {freed / 1024**2:.0f} MiB freed, {len(layers.layers())} kept")
