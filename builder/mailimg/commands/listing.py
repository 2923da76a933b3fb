"""`mailimg list`."""

from __future__ import annotations

import json

import click

from mailimg import gather
from mailimg.commands import options
from mailimg.resources import installed
from mailimg.roles import distro_names, load_distro, load_role, role_names


@click.command("list")
@options.as_json
def list_all(as_json: bool) -> None:
    """List roles, distributions and elements of this installation."""
    resources = installed()
    roles = {name: load_role(resources, name).summary for name in role_names(resources)}
    distros = {name: load_distro(resources, name).summary for name in distro_names(resources)}
    elements = gather.shipped_elements(resources)
    if as_json:
        click.echo(json.dumps({"roles": roles, "distros": distros, "elements": elements}, indent=2))
        return
    for title, entries in (("Roles", roles), ("Distributions", distros)):
        click.echo(f"{title}:")
        for name, summary in entries.items():
            click.echo(f"  {name:14} {summary}")
    click.echo("Elements:")
    click.echo(f"  {', '.join(elements)}")
