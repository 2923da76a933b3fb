"""`mailimg doctor`."""

from __future__ import annotations

import json
import os
import sys

import click

from mailimg.commands import options
from mailimg.doctor import absent, all_tools, install_command


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """Say what this host lacks, and the command that installs it.

    Exit status 1 when something is missing.
    """
    missing = absent()
    root = os.geteuid() == 0
    if as_json:
        answer = {
            "root": root,
            "missing": [{"program": tool.program, "package": tool.package, "for": tool.purpose} for tool in missing],
            "install": install_command(missing) if missing else None,
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        for tool in all_tools():
            state = "missing" if tool in missing else "ok"
            click.echo(f"{state:8} {tool.program:20} for mailimg {tool.purpose}, package {tool.package}")
        if not root:
            click.echo("note: not root; `build`, `verify` and `clean` need it")
        click.echo(f"Install with: {install_command(missing)}" if missing else "Nothing is missing.")
    if missing:
        sys.exit(1)
