"""`mailimg why`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from mailimg import why as reasons
from mailimg.commands import options
from mailimg.commands.request import Request, planned, request
from mailimg.store import Store


@click.command()
@request
@options.as_json
def why(asked: Request, as_json: bool) -> None:
    """Name the inputs that changed since the last build, and what the next build makes anew because of them.

    Asks the archives for the state of their package indexes, as a build does. Needs no root if the store can be read.

    \b
      mailimg why --role smtp-in --distro debian-12
    """
    images = planned(asked, index=True).images
    kept = Store(asked.store)
    answer: dict[str, object] = {}
    for plan in images:
        last = kept.recall(plan.name)
        found = None if last is None else reasons.changes(last, plan)
        answer[plan.name] = None if found is None else [asdict(change) for change in found]
        if not as_json:
            tell(plan.name, found)
    if as_json:
        click.echo(json.dumps(answer, indent=2))


def tell(name: str, found: list[reasons.Change] | None) -> None:
    """One image in words."""
    if found is None:
        click.echo(f"{name}: never built with this store")
        return
    if not any(change.rebuilt for change in found):
        click.echo(f"{name}: nothing changed")
        return
    click.echo(f"{name}:")
    for change in found:
        if not change.rebuilt:
            click.echo(f"  {change.part:14} as it was")
        elif not change.inputs:
            click.echo(f"  {change.part:14} built anew, because {change.below} is")
        else:
            click.echo(f"  {change.part:14} built anew:")
            for words in change.inputs:
                click.echo(f"    {words}")
