"""`mailimg doctor`."""

from __future__ import annotations

import json
import os
import sys

import click

from mailimg import doctor as host
from mailimg.commands import options


@click.command()
@click.option("--install", is_flag=True, help="Install what is missing (Debian; needs root).")
@options.as_json
def doctor(install: bool, as_json: bool) -> None:
    """Say what this host lacks, and the command that installs it.

    Exit status 1 when something is missing.
    """
    missing = host.absent()
    if install and missing:
        options.need_root("installing packages")
        click.echo(f"installing {', '.join(sorted({tool.package for tool in missing}))}", err=True)
        host.install(missing)
        missing = host.absent()
    if as_json:
        answer = {
            "root": os.geteuid() == 0,
            "missing": [{"program": tool.program, "package": tool.package, "for": tool.purpose} for tool in missing],
            "install": host.install_command(missing) if missing else None,
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        show(missing)
    if missing:
        sys.exit(1)


def show(missing: list[host.Tool]) -> None:
    """The table for people: only what is missing, then what to do."""
    for tool in missing:
        click.echo(f"missing  {tool.program:20} for mailimg {tool.purpose}, package {tool.package}")
    if os.geteuid() != 0:
        click.echo("note: not root; `build`, `verify` and `clean` need it")
    if missing:
        click.echo(f"Install with: {host.install_command(missing)}   (or `mailimg doctor --install`)")
    else:
        click.echo(f"All {len(host.all_tools())} programs are there.")
