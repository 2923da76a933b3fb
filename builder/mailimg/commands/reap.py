"""`mailimg reap`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from mailimg.cloud import connection
from mailimg.cloud.connection import Cloud
from mailimg.commands import options
from mailimg.errors import InputError, MailimgError, Problems, StepError
from mailimg.reap import directory, leftovers
from mailimg.reap.instances import THERE, UNKNOWN, fate
from mailimg.reap.leftovers import Leftover
from mailimg.stack.document import load

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@click.command()
@click.option("--yes", is_flag=True, help="Remove them; otherwise they are only shown.")
@click.option("--forgotten", is_flag=True,
              help="Also those of servers that Nova knows nothing of: deleted long ago, or another project's.")
@click.option("--site", help="Site document: also computer accounts in its directory, below join.ou.",
              type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--login", metavar="NAME", help="Who logs in to the directory. [default: join.user of the site document]")
@click.option("--password-file", help="The login's password. [default: what join.password refers to]",
              type=click.Path(path_type=Path, exists=True, dir_okay=False))
@options.os_cloud
@options.as_json
def reap(yes: bool, forgotten: bool, site: Path | None, login: str | None, password_file: Path | None,
         os_cloud: str | None, as_json: bool) -> None:
    """Show what servers that are gone have left behind, and with --yes remove it.

    Members of pools, orders to leave and, with --site, computer accounts. Each is known by the UUID of its instance,
    which Nova is asked for: not by a name that somebody gave, nor by an address.
    """
    problems = Problems()
    cloud = problems.of(lambda: connection.find(os_cloud))
    if site is None and (login or password_file):
        problems.found.append("--login and --password-file are for the directory that --site names")
    document = problems.of(lambda: load(site)) if site is not None else None
    problems.stop()
    assert cloud is not None  # noqa: S101 - else `stop` has raised
    cloud.log_in()
    kinds = {"member": leftovers.of_pools(cloud), "order": leftovers.of_orders(cloud)}
    if document is not None:
        kinds["account"] = leftovers.of_directory(directory.of_site(
            document, login, password(cloud, document, login, password_file)))
    else:
        click.echo("the directory is not looked at: no --site", err=True)
    found = leftovers.judged(cloud, kinds)
    chosen = leftovers.due(found, forgotten=forgotten)
    removed, failures = remove(cloud, chosen) if yes else ([], [])
    if as_json:
        click.echo(json.dumps({"found": [leftovers.described(one) for one in found],
                               "removed": [leftovers.described(one) for one in removed]}, indent=2))
    else:
        show(found, chosen, removed, yes)
    if failures:
        raise StepError(f"{len(failures)} of {len(chosen)} leftovers are still there", failures[0].hint,
                        [one.message for one in failures])


def remove(cloud: Cloud, chosen: list[Leftover]) -> tuple[list[Leftover], list[MailimgError]]:
    """Remove them, each if its server is still gone; one that cannot be removed does not keep the others."""
    removed, failures = [], []
    for one in chosen:
        try:
            if fate(cloud, one.instance) == THERE:
                continue
            one.remove()
            removed.append(one)
        except MailimgError as error:
            failures.append(error)
    return removed, failures


def show(found: list[Leftover], chosen: list[Leftover], removed: list[Leftover], acted: bool) -> None:
    """The same for a person."""
    for one in found:
        if one in removed:
            end = "removed"
        elif one in chosen:
            end = "not removed" if acted else "would be removed"
        else:
            end = "left alone: Nova knows nothing of its server"
        click.echo(f"{one.kind:8} {one.shown}  instance {one.instance}: {end}")
    if not found:
        click.echo("nothing is left behind")
        return
    if chosen and not acted:
        click.echo("Nothing was removed: say --yes.", err=True)
    if any(one.fate == UNKNOWN and one not in chosen for one in found):
        click.echo("Servers that Nova knows nothing of may be another project's, or were deleted long ago: if all of"
                   " them were yours, say --forgotten.", err=True)


def password(cloud: Cloud, document: dict[str, Any], login: str | None, file: Path | None) -> bytes | None:
    """The directory's password; None: nobody says where it is.

    Raises:
        InputError: it cannot be read.
        CloudError: Barbican refuses.
    """
    join = document.get("join")
    reference = str(join.get("password", "")) if isinstance(join, dict) and login is None else ""
    if file is not None:
        reference = f"file:{file}"
    kind, _, value = reference.partition(":")
    if kind == "file":
        try:
            return Path(value).read_bytes().strip(b"\r\n")
        except OSError as error:
            raise InputError([f"{value}: cannot be read: {error.strerror}"]) from error
    if kind == "literal":
        return value.encode()
    named = UUID.findall(value)
    if kind == "barbican" and named:
        return cloud.text("key_manager", f"/secrets/{named[-1]}/payload", what="open join.password").strip().encode()
    return None
