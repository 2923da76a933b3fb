"""`mailimg upload`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from mailimg.cloud import connection
from mailimg.cloud.glance import Glance
from mailimg.cloud.ready import in_folder, jobs
from mailimg.cloud.several import USUAL_JOBS, failed, upload_all
from mailimg.cloud.upload import Done
from mailimg.commands import options
from mailimg.errors import InputError, MailimgError, Problems
from mailimg.progress import Display


@click.command()
@click.argument("images", nargs=-1, type=click.Path(path_type=Path, dir_okay=False), metavar="[IMAGE]...")
@click.option("--all", "every", is_flag=True, help="All images of the folder that --from names.")
@click.option("--from", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("images/out"),
              show_default=True, help="Folder of --all.")
@options.os_cloud
@click.option("--untested", is_flag=True, help="Also upload images that `mailimg verify` has not passed.")
@click.option("--abandoned", is_flag=True,
              help="Also remove unfinished uploads of other machines, which are otherwise left alone for six hours.")
@click.option("--jobs", "at_once", type=click.IntRange(1, 32), default=USUAL_JOBS, show_default=True,
              help="Images to upload at once.")
@options.as_json
def upload(images: tuple[Path, ...], every: bool, folder: Path, os_cloud: str | None, untested: bool, abandoned: bool,
           at_once: int, as_json: bool) -> None:
    """Upload images to Glance: each once, checked against Glance's own checksum, with the properties it needs.

    An image that is there already is left alone, but for properties that differ from what its file says. It is private
    to the project and in no channel: see `mailimg promote`. What is interrupted leaves no image behind.

    \b
      mailimg upload images/out/smtp-in-debian-12.qcow2 --os-cloud production
      mailimg upload --all
    """
    problems = Problems()
    cloud = problems.of(lambda: connection.find(os_cloud))
    wanted = problems.of(lambda: jobs(chosen(images, every, folder), untested=untested))
    problems.stop()
    assert cloud is not None  # noqa: S101 - else `stop` has raised
    assert wanted is not None  # noqa: S101 - as above
    cloud.log_in()
    with Display(Console(stderr=True)) as display:
        for job in wanted:
            for warning in job.warnings:
                display.note(f"[bold yellow]warning:[/bold yellow] {escape(warning)}")
        results = upload_all(Glance(cloud), wanted, display, at_once=at_once, abandoned=abandoned)
    done = [result for result in results if isinstance(result, Done)]
    if as_json:
        click.echo(json.dumps([summary(one) for one in done], indent=2))
    else:
        for one in done:
            click.echo("\n".join(lines(one)))
    error: MailimgError | None = failed(wanted, results)
    if error is not None:
        raise error


def chosen(images: tuple[Path, ...], every: bool, folder: Path) -> list[Path]:
    """The image files that the options name.

    Raises:
        InputError: none, or both ways at once.
    """
    if every and images:
        raise InputError(["IMAGE and --all exclude each other"])
    if every:
        return in_folder(folder)
    if not images:
        raise InputError(["no image given"], "Name image files, or say --all.")
    return list(images)


def lines(one: Done) -> list[str]:
    """One image for a person."""
    words = {"uploaded": f"uploaded in {one.seconds:.0f} s", "present": "there already, nothing to do",
             "changed": "there already, properties set"}
    found = [f"{one.image.name}  {one.image.id}  {words[one.what]}"]
    return found + [f"  {name}: {'nothing' if before is None else before} -> {now}"
                    for name, (before, now) in sorted(one.changed.items())]


def summary(one: Done) -> dict[str, object]:
    """One image for scripts."""
    return {
        "file": str(one.job.image), "id": one.image.id, "name": one.image.name, "role": one.image.role,
        "distro": one.image.distro, "identity": one.image.identity, "result": one.what,
        "changed": {name: {"before": before, "now": now} for name, (before, now) in one.changed.items()},
        "seconds": round(one.seconds, 2),
    }
