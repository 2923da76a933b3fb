"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mailimg.errors import InputError, StepError
from mailimg.resources import Resources
from mailimg.roles import role_names
from mailimg.store import DEFAULT_ROOT

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def pairs_of(option: str) -> Callable[[object, object, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """A callback that splits `NAME=VALUE`."""

    def split(_context: object, _parameter: object, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        for value in values:
            if not all(value.partition("=")):
                raise InputError([f"{option} {value!r}: is not NAME=VALUE"])
        return tuple((value.partition("=")[0], value.partition("=")[2]) for value in values)

    return split


role: Decorator = click.option(
    "--role", "roles", multiple=True, metavar="ROLE", help="Role to build; may be given several times."
)
every: Decorator = click.option("--all", "every", is_flag=True, help="All roles.")
distro: Decorator = click.option(
    "--distro", default="centos-7", show_default=True, metavar="DISTRO", help="Distribution inside the image."
)
roles_path: Decorator = click.option(
    "--roles-path",
    "own_roles",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    envvar="MAILIMG_ROLES_PATH",
    help="Folder of own roles, looked at before the installed ones; may be given several times.",
)
elements_path: Decorator = click.option(
    "--elements-path",
    "own_elements",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    envvar="MAILIMG_ELEMENTS_PATH",
    help="Folder of own elements and distributions, looked at before the installed ones; may be given several times.",
)
mirror: Decorator = click.option(
    "--mirror",
    metavar="URL",
    help="Package archive to build from. The default for Debian is what this host's own apt uses, for CentOS a list of"
    " archives; there, it is the root of a point release, with os/, updates/ and extras/ below it.",
)
repository: Decorator = click.option(
    "--repository",
    "repositories",
    metavar="ID=URL",
    multiple=True,
    callback=pairs_of("--repository"),
    help="Place of one RPM repository, instead of its own; given several times for one ID, they are tried in order.",
)
repository_key: Decorator = click.option(
    "--repository-key",
    "keys",
    metavar="ID=FILE",
    multiple=True,
    callback=pairs_of("--repository-key"),
    help="OpenPGP public key (ASCII armor) that signed the packages of one RPM repository, instead of its own.",
)
mirror_ca: Decorator = click.option(
    "--mirror-ca",
    "ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with the authority that certifies the servers of base image and RPM repositories; it goes into the"
    " image.",
)
base_image: Decorator = click.option(
    "--base-image",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Cloud image to start from, for distributions that start from one; without it, it is downloaded once.",
)
base_sha256: Decorator = click.option(
    "--base-sha256", metavar="HEX", help="SHA-256 of the base image, where it is not the one that is known."
)
store: Decorator = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_ROOT,
    show_default=True,
    envvar="MAILIMG_STORE",
    help="Layer store: finished layers, downloaded packages, logs.",
)
form: Decorator = click.option(
    "--format", "form", type=click.Choice(["qcow2", "raw"]), default="qcow2", show_default=True, help="Image format."
)
compress: Decorator = click.option(
    "--compress",
    type=click.Choice(["zlib", "zstd", "none"]),
    default="zlib",
    show_default=True,
    help="Compression of a qcow2; zstd is faster, but QEMU before 5.1 cannot read it.",
)
os_cloud: Decorator = click.option(
    "--os-cloud", metavar="NAME", help="Cloud in clouds.yaml.  [default: what OS_CLOUD or the other OS_* variables say]"
)
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Machine-readable result on standard output.")


def chosen_roles(resources: Resources, roles: tuple[str, ...], every: bool) -> list[str]:
    """The roles that the options name.

    Raises:
        InputError: none, or both `--role` and `--all`.
    """
    if every and roles:
        raise InputError(["--role and --all exclude each other"])
    if every:
        return role_names(resources)
    if not roles:
        raise InputError(["no role given"], f"Say --role ROLE or --all. Roles: {', '.join(role_names(resources))}.")
    return list(dict.fromkeys(roles))


def need_root(what: str) -> None:
    """Building mounts and changes roots; say so before it fails half-way.

    Raises:
        StepError: we are not root.
    """
    if os.geteuid() != 0:
        raise StepError(f"{what} needs root: it mounts file systems and changes roots", "Run it again with sudo.")
