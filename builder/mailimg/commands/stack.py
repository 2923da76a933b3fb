"""`mailimg stack`: example, render, apply, status, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import click

from mailimg.cloud import connection
from mailimg.cloud.channel import USUAL, check_name
from mailimg.commands import options
from mailimg.commands.site import new_file, write_new
from mailimg.errors import InputError, InterruptedElsewhereError, Problems, StepError
from mailimg.resources import installed
from mailimg.roles import load_distro, load_image, load_role, role_names
from mailimg.stack import apply as applying
from mailimg.stack import document, status
from mailimg.stack import platform as platforms
from mailimg.stack import render as rendering
from mailimg.stack.credentials import Credentials
from mailimg.stack.heat import Heat, Stack, settled

STACK = "mail"

name_option: options.Decorator = click.option(
    "--name", default=STACK, show_default=True, help="Name of the stack in Heat.")


@click.group()
def stack() -> None:
    """Put the whole platform into a cloud as one stack of Heat, and look after it.

    \b
      mailimg stack example --output site.yaml                 one site document for all roles, to change
      mailimg stack render --site site.yaml --output stack     template and environment, to read and fill in
      mailimg stack apply --site site.yaml --environment stack/environment.yaml
      mailimg stack status
      mailimg stack roll --role smtp-in                        servers of the image that is promoted now
      mailimg stack roll --role smtp-in --again                or of the site document that was applied last
      mailimg stack delete                                     keeps the volume with the mailboxes
    """


def of_site(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that decide the text of a stack."""
    decorated = command
    for option in (options.elements_path, options.roles_path, options.distro,
                   click.option("--role", "names", multiple=True, metavar="ROLE",
                                help="Role that the platform has; may be given several times. [default: all]"),
                   click.option("--site", required=True, help="Site document of the platform.",
                                type=click.Path(path_type=Path, exists=True, dir_okay=False))):
        decorated = option(decorated)
    return decorated


@stack.command("example")
@new_file
def write_example(output: Path | None) -> None:
    """Write a site document of the whole platform to start from: right as it is, with values to replace."""
    write_new(output, (rendering.TEMPLATES / rendering.EXAMPLE).read_text(encoding="utf-8"))


@stack.command()
@of_site
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for platform.yaml, member.yaml and environment.yaml. An environment that is there stays.")
def render(site: Path, names: tuple[str, ...], distro: str, own_roles: tuple[Path, ...], own_elements: tuple[Path, ...],
           output: Path | None) -> None:
    """Write the platform as a template of Heat; without --output, print it. No cloud is asked."""
    _, rendered = planned(site, names, distro, own_roles, own_elements)
    if output is None:
        click.echo(rendered.files[rendering.PLATFORM], nl=False)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for file, text in rendered.files.items():
            path = output / file
            if file == rendering.ENVIRONMENT and path.exists():
                click.echo(f"{path}: stays as it is")
                continue
            path.write_text(text, encoding="utf-8")
            click.echo(f"{path}: written")
    except OSError as error:
        raise StepError(f"write {error.filename}: {error.strerror}") from error


@stack.command()
@of_site
@name_option
@click.option("--environment", "environments", multiple=True, metavar="FILE",
              help="Parameters, as `render` writes them.", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE",
              callback=options.pairs_of("--parameter"),
              help="One parameter, on top of the files; may be given several times.")
@click.option("--channel", default=USUAL, show_default=True, help="Channel whose images new groups boot.")
@options.os_cloud
@options.as_json
def apply(site: Path, names: tuple[str, ...], distro: str, own_roles: tuple[Path, ...], own_elements: tuple[Path, ...],
          name: str, environments: tuple[Path, ...], parameters: tuple[tuple[str, str], ...], channel: str,
          os_cloud: str | None, as_json: bool) -> None:
    """Create the stack or bring it up to date, and wait until every server serves.

    Servers that run are never replaced: they keep their image and the document that they were made with; `apply` says
    where that differs (`mailimg stack roll --again`). A group that is new boots the image that is promoted. Log in with
    a password: neither Heat nor Keystone take an application credential for this.
    """
    problems = Problems()
    cloud = problems.of(lambda: connection.find(os_cloud))
    given: dict[str, Any] = {}
    for file in environments:
        given.update(problems.of(lambda file=file: applying.parameters_of(file)) or {})  # type: ignore[misc]
    given.update(parameters)
    problems.of(lambda: check_name(channel))
    found = problems.of(lambda: planned(site, names, distro, own_roles, own_elements))
    if found is not None:
        problems.of(lambda: raise_all(applying.misfits(found[1], given)))
    problems.stop()
    assert cloud is not None  # noqa: S101 - else `stop` has raised
    assert found is not None  # noqa: S101 - as above
    cloud.log_in()
    after = applying.apply(cloud, applying.Wanted(name, *found, given, channel),
                           lambda line: click.echo(line, err=True))
    tell(status.describe(cloud, Heat(cloud), after), as_json)


@stack.command("status")
@name_option
@options.os_cloud
@options.as_json
def show_status(name: str, os_cloud: str | None, as_json: bool) -> None:
    """Show the stack's state, addresses, servers, pools and what failed. Exit status 1 when it has failed."""
    cloud = connection.find(os_cloud)
    cloud.log_in()
    heat = Heat(cloud)
    found = existing(heat, name)
    tell(status.describe(cloud, heat, found), as_json)
    if found.failed:
        sys.exit(StepError.exit_code)


@stack.command()
@name_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.os_cloud
def delete(name: str, yes: bool, os_cloud: str | None) -> None:
    """Delete the stack: every server leaves first, layer by layer. The volume with the mailboxes stays.

    If the stack is gone already, delete what is left of its application credentials and their secrets.
    """
    cloud = connection.find(os_cloud)
    cloud.log_in()
    heat, keeper = Heat(cloud), Credentials(cloud, name)
    found = heat.find(name)
    if found is None:
        rest = keeper.drop()
        if not rest:
            raise missing(name)
        click.echo(f"stack {name}: is gone already")
        told(rest)
        return
    settled(found, "delete")
    kept = status.volumes(heat, found)
    if not yes:
        click.confirm(f"Delete stack {name} with all its servers? Volumes that stay: {', '.join(kept) or 'none'}.",
                      abort=True)
    seen = [one["id"] for one in heat.events(found)]
    heat.delete(found)
    try:
        left = heat.follow(found, seen, lambda line: click.echo(line, err=True))
    except InterruptedElsewhereError as error:
        error.hint += f" When it is gone: `mailimg stack delete --name {name}` once more, for its credentials."
        raise
    if left is not None:
        raise applying.failed(heat, left, name)
    told(keeper.drop())
    click.echo(f"stack {name}: deleted")
    for volume in kept:
        click.echo(f"volume {volume}: kept; `--parameter nfs_volume={volume}` makes another stack use it")


def planned(site: Path, names: Sequence[str], distro: str, own_roles: tuple[Path, ...], own_elements: tuple[Path, ...],
            ) -> tuple[platforms.Platform, rendering.Rendered]:
    """The platform and its text.

    Raises:
        InputError: everything that is wrong with roles, images and document.
    """
    resources = installed(own_roles, own_elements)
    problems = Problems()
    chosen: Any = problems.of(lambda: load_distro(resources, distro))
    loaded = [problems.of(lambda one=one: (load_role(resources, one), load_image(resources, one)))  # type: ignore[misc]
              for one in names or role_names(resources)]
    content: Any = problems.of(lambda: document.load(site))
    problems.stop()
    pairs = [one for one in loaded if one is not None]
    platform = platforms.plan([role for role, _ in pairs], {role.name: image for role, image in pairs}, content)
    documents = document.make(resources, platform, chosen, site, package_version("mailimg"))
    for warning in documents.warnings:
        click.echo(f"warning: {warning}", err=True)
    return platform, rendering.render(platform, documents)


def existing(heat: Heat, name: str) -> Stack:
    """The stack.

    Raises:
        InputError: there is none of that name.
    """
    found = heat.find(name)
    if found is None:
        raise missing(name)
    return found


def missing(name: str) -> InputError:
    """The error for a stack that is not there."""
    return InputError([f"stack {name!r}: there is none of that name in this project"],
                      "`openstack stack list` shows all; --name says which one.")


def told(credentials: Sequence[str]) -> None:
    """Say which credentials and secrets have gone."""
    for one in credentials:
        click.echo(f"{one}: deleted")


def raise_all(problems: Sequence[str]) -> None:
    """Problems as an error, if there are any."""
    if problems:
        raise InputError(problems, "`mailimg stack render --output DIR` writes an environment to fill in.")


def tell(found: dict[str, Any], as_json: bool) -> None:
    """Print what a stack is like."""
    click.echo(json.dumps(found, indent=2) if as_json else "\n".join(status.lines(found)))
