"""`mailimg clean`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
from rich.console import Console

from mailimg.commands import options
from mailimg.store import Store, StoredLayer

DAY_SECONDS = 86400
GIB = 1024**3


@click.command()
@click.option("--older-than", "days", type=float, default=14.0, show_default=True, help="Days since last use.")
@click.option("--max-size", "gib", type=float, help="GiB that layers may take; those unused for longest go first.")
@click.option("--all", "everything", is_flag=True, help="Every layer, whatever its age, and all caches.")
@options.store
@options.as_json
def clean(days: float, gib: float | None, everything: bool, store: Path, as_json: bool) -> None:
    """Remove layers that no build has used for a while, and what killed builds left behind.

    Waits for builds that run. Images are never touched. A removed layer is built again when a build needs it.
    """
    options.need_root("cleaning the layer store")
    layers = Store(store)
    layers.sweep()
    console = Console(stderr=True)
    with layers.alone(lambda: console.print("a build runs; waiting for its end", highlight=False)):
        used = [(layer, layers.used(layer.identity)) for layer in layers.layers()]
        limit = None if gib is None else int(gib * GIB)
        removed = superfluous(used, time.time() - days * DAY_SECONDS, limit, everything)
        freed = sum(layer.facts.get("bytes", 0) for layer in removed)
        for layer in removed:
            layers.drop(layer.identity)
        if everything:
            freed += layers.empty_caches()
        kept = len(used) - len(removed)
    if as_json:
        click.echo(json.dumps({"removed": [layer.identity for layer in removed], "freed_bytes": freed}, indent=2))
        return
    for layer in removed:
        click.echo(f"removed {layer.facts['name']:14} {layer.identity[:12]}")
    click.echo(f"{len(removed)} layers removed, {freed / 1024**2:.0f} MiB freed, {kept} kept")


def superfluous(
    layers: list[tuple[StoredLayer, float]], limit: float, size: int | None, everything: bool
) -> list[StoredLayer]:
    """Layers to remove, those unused for longest first.

    Args:
        layers: each with the time of its last use, seconds since 1970.
        limit: time before which a layer counts as old.
        size: bytes that the rest may take together; None for any.
    """
    ordered = sorted(layers, key=lambda pair: pair[1])
    total = sum(layer.facts.get("bytes", 0) for layer, _ in ordered)
    removed = []
    for layer, used in ordered:
        if everything or used < limit or (size is not None and total > size):
            removed.append(layer)
            total -= layer.facts.get("bytes", 0)
    return removed
