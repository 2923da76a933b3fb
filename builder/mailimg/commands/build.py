"""`mailimg build`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from mailimg import revision
from mailimg.build import Built, build_images, default_jobs
from mailimg.commands import options
from mailimg.commands.request import Request, planned, request
from mailimg.doctor import missing_tools
from mailimg.progress import Display
from mailimg.store import Store


@click.command()
@request
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("images/out"),
    show_default=True,
    help="Folder for images and their manifests.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 32), help="Images to build at once.  [default: by cores and memory]"
)
@options.as_json
def build(asked: Request, output: Path, jobs: int | None, as_json: bool) -> None:
    """Build the image of one or more roles.

    Layers that are in the store already are not built again; an image that is what it would become is left alone.

    \b
      mailimg build --role smtp-in
      mailimg build --role smtp-in --base-image CentOS-7-x86_64-GenericCloud-2211.qcow2 \\
          --mirror https://mirror.example.org/centos/7.9.2009
      mailimg build --all --distro debian-12 --jobs 2 --output /srv/images
    """

    def ready() -> None:
        options.need_root("building an image")
        missing_tools("build")
        Store(asked.store)

    found = planned(asked, index=True, ready=ready)
    with Display(Console(stderr=True)) as display:
        results = build_images(
            found.images,
            {role.name: role for role, _ in found.pairs},
            found.distro,
            found.inputs,
            found.resources,
            Store(asked.store),
            output.resolve(),
            display,
            jobs=jobs or default_jobs(len(found.images)),
            revision=revision.of(found.resources.elements.parent),
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
