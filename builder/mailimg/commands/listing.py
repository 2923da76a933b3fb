"""`mailimg list`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from mailimg import gather
from mailimg.commands import options
from mailimg.errors import Problems
from mailimg.resources import installed
from mailimg.roles import distro_names, load_distro, load_role, role_names


@click.command("list")
@options.roles_path
@options.elements_path
@options.as_json
def list_all(own_roles: tuple[Path, ...], own_elements: tuple[Path, ...], as_json: bool) -> None:
    """List roles, distributions and elements of this installation."""
    resources = installed(own_roles, own_elements)
    problems = Problems()
    roles, distros = {}, {}
    for name in role_names(resources):
        if role := problems.of(partial(load_role, resources, name)):
            roles[name] = role.summary
    for name in distro_names(resources):
        if distro := problems.of(partial(load_distro, resources, name)):
            distros[name] = distro.summary
    problems.stop()
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
