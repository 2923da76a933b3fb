"""`mailimg trace`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from mailimg.commands import options
from mailimg.errors import InputError
from mailimg.progress import Display
from mailimg.trace import report as told
from mailimg.trace import trace as follow

# Each node of a lab has a folder there with its journal.
LABS, PREFIX, NODES = Path("/run/mailimg"), "lab-", "nodes"


@click.command()
@click.argument("asked", metavar="MESSAGE-ID|QUEUE-ID")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR|FILE",
    help="Logs of the nodes: files, or folders with them at any depth; may be given several times.",
)
@click.option("--lab", metavar="NAME", help="Logs of the nodes of a lab on this machine (`mailimg lab up`).")
@options.as_json
def trace(asked: str, logs: tuple[Path, ...], lab: str | None, as_json: bool) -> None:
    """Follow one message through the logs of all nodes, and say what became of it for each recipient.

    A message id stands in the message's header and finds all its copies; a queue id finds the one copy that had it, on
    the nodes before and behind as well. Lines may be syslog's (RFC 3164, RFC 5424, ISO times) or the journal's
    (`journalctl -o short`, `short-iso`, `short-full`, `json`); files may be packed with gzip, bzip2, xz. Times without
    a zone are taken for UTC.

    \b
    Exit status:
      0  found
      1  no line speaks of it
      2  it is no id, or there are no such logs

    \b
      mailimg trace '<1af8ccab@sender.example>' --logs /var/log/nodes
      mailimg trace 4jXg7l64KVz4J --logs mx-1.log --logs box-1.log.gz --json | jq .recipients
    """
    places = [*logs, *([lab_logs(lab)] if lab is not None or not logs else [])]
    with Display(Console(stderr=True)) as display, display.task("trace") as task:
        found = follow(asked, places, task.update)
    for warning in found.searched.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(told.document(found), indent=2))
    else:
        for line in told.text(found):
            click.echo(line)


def lab_logs(name: str | None) -> Path:
    """The folder with the logs of a lab; without a name, of the only one that there is.

    Raises:
        InputError: there is no such lab, or there are several.
    """
    labs = {path.parent.name.removeprefix(PREFIX): path for path in LABS.glob(f"{PREFIX}*/{NODES}") if path.is_dir()}
    hint = "Name the logs: --logs DIR, --logs FILE."
    if name is not None:
        if name not in labs:
            raise InputError([f"there is no lab {name!r} in {LABS}"], hint)
        return labs[name]
    if not labs:
        raise InputError(["no logs given, and no lab runs here"], hint)
    if len(labs) > 1:
        problem = f"no logs given, and there are several labs: {', '.join(sorted(labs))}"
        raise InputError([problem], f"{hint} Or --lab NAME.")
    return next(iter(labs.values()))
