"""`mailimg build`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from mailimg import apt, gather
from mailimg.build import Built, build_images, default_jobs
from mailimg.commands import options
from mailimg.doctor import missing_tools
from mailimg.errors import InputError
from mailimg.progress import Display
from mailimg.resources import installed
from mailimg.store import Store


@click.command()
@options.role
@options.every
@options.distro
@options.roles_path
@options.elements_path
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("images/out"),
    show_default=True,
    help="Folder for images and their manifests.",
)
@options.form
@options.compress
@options.mirror
@click.option(
    "--base-image",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Cloud image to start from, for distributions that start from one.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 32), help="Images to build at once.  [default: by cores and memory]"
)
@options.store
@options.as_json
def build(
    roles: tuple[str, ...],
    every: bool,
    distro: str,
    own_roles: tuple[Path, ...],
    own_elements: tuple[Path, ...],
    output: Path,
    form: str,
    compress: str,
    mirror: str | None,
    base_image: Path | None,
    jobs: int | None,
    store: Path,
    as_json: bool,
) -> None:
    """Build the image of one or more roles.

    Layers that are in the store already are not built again; an image that is what it would become is left alone.

    \b
      mailimg build --role smtp-in --distro debian-12
      mailimg build --all --distro debian-12 --jobs 2 --output /srv/images
    """
    resources = installed(own_roles, own_elements)
    names = options.chosen_roles(resources, roles, every)
    pairs, chosen = gather.load(resources, names, distro)
    if base_image is not None:
        raise InputError([f"--base-image: {distro} is bootstrapped from packages, not from an image"])
    options.need_root("building an image")
    missing_tools("build")
    sources = apt.sources(chosen.packages["suites"], chosen.packages["component"], mirror)
    inputs = gather.measure(resources, pairs, chosen, sources, index=True)
    plans = gather.plans(pairs, chosen, inputs, form=form, compress=compress)
    with Display(Console(stderr=True)) as display:
        results = build_images(
            plans,
            {role.name: role for role, _ in pairs},
            chosen,
            inputs,
            resources,
            Store(store),
            output.resolve(),
            display,
            jobs=jobs or default_jobs(len(plans)),
        )
    if as_json:
        click.echo(json.dumps([summary(result) for result in results], indent=2))
        return
    for result in results:
        image = result.manifest["image"]
        size = f"{image['bytes'] / 1024**2:.0f} MiB"
        state = "unchanged" if result.unchanged else f"built in {result.seconds:.0f} s"
        click.echo(f"{result.image}  {size}  {state}")


def summary(result: Built) -> dict[str, object]:
    """What scripts get of one image."""
    return {
        "image": str(result.image),
        "role": result.manifest["role"],
        "distro": result.manifest["distro"],
        "identity": result.manifest["identity"],
        "sha256": result.manifest["image"]["sha256"],
        "bytes": result.manifest["image"]["bytes"],
        "unchanged": result.unchanged,
        "layers_built": list(result.built),
        "seconds": round(result.seconds, 2),
    }
