"""`mailimg site`: example, validate, reference."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import click
import yaml

from mailimg.commands import options
from mailimg.errors import InputError, Problems, StepError
from mailimg.resources import Resources, installed
from mailimg.roles import Distro, Role, load_distro, load_role, role_names
from mailimg.site import check, example, keys, reference

HINT = "All keys and their meaning: `mailimg site reference` (docs/site.md)."


@click.group()
def site() -> None:
    """Write and check the site document: all that an instance is told of its site.

    \b
      mailimg site example --role smtp-in --output site.yaml     a commented document to start from
      mailimg site validate site.yaml                            the check that an instance makes at boot
      mailimg site reference                                     every key
    """


def one_role(role_help: str, *, required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that name one role on one distribution."""
    role = click.option("--role", "name", required=required, metavar="ROLE", help=role_help)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in (options.elements_path, options.roles_path, options.distro, role):
            command = option(command)
        return command

    return decorate


new_file: options.Decorator = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; it must not exist yet.")


@site.command("example")
@one_role("Role of the instances.", required=True)
@new_file
def write_example(name: str, distro: str, own_roles: tuple[Path, ...], own_elements: tuple[Path, ...],
                  output: Path | None) -> None:
    """Write a site document to start from: what the role needs with values to replace, the rest commented out."""
    resources = installed(own_roles, own_elements)
    role, chosen = loaded(resources, name, distro)
    write_new(output, example.text(resources, role, chosen))


@site.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True))
@one_role("Role of the instances; left out: the one that FILE names.", required=False)
@options.as_json
def validate(file: Path, name: str | None, distro: str, own_roles: tuple[Path, ...], own_elements: tuple[Path, ...],
             as_json: bool) -> None:
    """Check FILE, a site document or user data that holds one, as an instance does at boot.

    Neither root, network nor the files of its secrets are needed. Exit status 2 when anything is wrong with it.
    """
    resources = installed(own_roles, own_elements)
    role, chosen = loaded(resources, name or role_of(file), distro)
    found = check.check(resources, role, chosen, file, package_version("mailimg"))
    if as_json:
        click.echo(json.dumps({"ok": not found.problems, "problems": list(found.problems),
                               "warnings": list(found.warnings)}, indent=2))
        if found.problems:
            sys.exit(InputError.exit_code)
        return
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    if found.problems:
        raise InputError(found.problems, HINT)
    click.echo(f"{file}: right for {role.name} on {chosen.name}")


@site.command("reference")
@options.roles_path
def show_reference(own_roles: tuple[Path, ...]) -> None:
    """Print the reference of all keys (Markdown)."""
    resources = installed(own_roles)
    click.echo(reference.text(keys.load(resources), [load_role(resources, name) for name in role_names(resources)]),
               nl=False)


def write_new(output: Path | None, text: str) -> None:
    """Write a file that is not there yet; None: print it.

    Raises:
        InputError: it is there.
        StepError: it cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError([f"{output}: exists"], "Name another file; an example never replaces your work.") from None
    except OSError as error:
        raise StepError(f"write {output}: {error.strerror}") from error


def role_of(file: Path) -> str:
    """The role that a site document names.

    Raises:
        InputError: it names none, or is no document that stands alone.
    """
    try:
        document = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        document = None
    role = document.get("role") if isinstance(document, dict) else None
    if not isinstance(role, str):
        raise InputError([f"{file}: names no role"], "Say for which role it is: --role ROLE.")
    return role


def loaded(resources: Resources, role: str, distro: str) -> tuple[Role, Distro]:
    """Both, with what is wrong with either."""
    problems = Problems()
    one: Any = problems.of(lambda: load_role(resources, role))
    other: Any = problems.of(lambda: load_distro(resources, distro))
    problems.stop()
    return one, other
