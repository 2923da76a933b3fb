"""`mailimg images`, `mailimg promote`, `mailimg retire`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailimg.cloud import channel as channels
from mailimg.cloud import connection, images, servers, uploader
from mailimg.cloud.choose import choose
from mailimg.cloud.describe import SHORT
from mailimg.cloud.glance import Glance
from mailimg.cloud.images import CloudImage, current_in
from mailimg.cloud.retire import refusal
from mailimg.cloud.retire import retire as retire_image
from mailimg.commands import options
from mailimg.errors import InputError, Problems, StepError

MIB = 1024**2


@click.command("images")
@click.option("--role", help="Only those of one role.")
@options.os_cloud
@options.as_json
def list_images(role: str | None, os_cloud: str | None, as_json: bool) -> None:
    """List the images that mailimg uploaded: role, distribution, identity, channel, state, servers that use them."""
    cloud = opened(os_cloud)
    known = [image for image in Glance(cloud).ours() if role in (None, image.role)]
    used = servers.ask(cloud, known)
    if as_json:
        click.echo(json.dumps([described(image, known, used) for image in known], indent=2))
        return
    if not known:
        click.echo("no image" + ("" if role is None else f" of {role}"))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for head in ("role", "distro", "identity", "id", "MiB", "verified", "revision", "channel", "state", "in use by"):
        table.add_column(head, justify="right" if head in ("MiB", "in use by") else "left", no_wrap=True)
    for image in sorted(known, key=lambda image: (image.role, image.created), reverse=True):
        one = described(image, known, used)
        state = Text(one["state"], {"current": "green", "unfinished": "red"}.get(one["state"], ""))
        table.add_row(image.role, image.distro, image.identity[:SHORT], image.id, f"{image.size / MIB:.0f}",
                      one["verified"] or "-", shortened(one["revision"]), ", ".join(one["channels"]) or "-",
                      state, used.words(image))
    # A table that is piped into a file is not cut at 80 columns.
    Console(width=None if sys.stdout.isatty() else 240).print(table)
    if used.unknown:
        click.echo(f"in use by: {used.unknown}", err=True)


def described(image: CloudImage, known: Sequence[CloudImage], used: servers.Servers) -> dict[str, Any]:
    """One image for scripts; `servers` is null when Nova says nothing."""
    return {
        "id": image.id, "name": image.name, "role": image.role, "distro": image.distro, "identity": image.identity,
        "channels": current_in(image, known), "state": state_of(image, known), "hidden": image.hidden,
        "visibility": image.visibility, "bytes": image.size, "created": image.created,
        "verified": image.properties.get(images.VERIFIED), "revision": image.properties.get(images.REVISION),
        "servers": None if used.unknown else list(used.of(image)),
        "servers_complete": not used.doubt(image),
    }


def shortened(revision: str | None) -> str:
    """A git commit for a table; that files differed from it must not be cut off."""
    commit, dash, dirty = (revision or "-").partition("-")
    return commit[:SHORT] + dash + dirty


def state_of(image: CloudImage, known: Sequence[CloudImage]) -> str:
    """`current`, `ready` (in no channel yet), `old`, `retired`, `uploading`, `unfinished`, or Glance's own word."""
    if image.state == images.UPLOADING:
        mark = image.properties.get(images.UPLOADER, "")
        return "unfinished" if uploader.gone(mark, uploader.mine(), image.created, datetime.now(UTC)) else "uploading"
    if image.status != "active":
        return image.status
    if current_in(image, known):
        return "current"
    # A ticket that has lost and was not tidied up yet.
    return images.OLD if image.tickets else image.state or "unknown"


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--channel", default=channels.USUAL, show_default=True, help="Where the image becomes the current one.")
@click.option("--untested", is_flag=True, help="Also promote an image that was uploaded with --untested.")
@options.os_cloud
def promote(names: tuple[str, ...], channel: str, untested: bool, os_cloud: str | None) -> None:
    """Make IMAGE the current image of its role in a channel, and hide the one that was.

    IMAGE is an id, a name, the beginning of an identity, or the image file. Going back is promoting the old one.
    Servers are not touched: they run what they were booted from.

    \b
      mailimg promote images/out/smtp-in-debian-12.qcow2 --channel stable
    """
    channels.check_name(channel)
    glance = Glance(opened(os_cloud))
    known = glance.ours()
    problems = Problems()
    found = [image for name in names if (image := problems.of(partial(choose, name, known))) is not None]
    unique = list({image.id: image for image in found}.values())
    for image in unique:
        for problem in channels.promotable(image, untested=untested):
            problems.of(partial(wrong, problem, "`mailimg images` shows states; --untested overrides a missing test."))
    for role in sorted({image.role for image in unique}):
        if len(several := [image.shown for image in unique if image.role == role]) > 1:
            problem = f"several images of {role}: {', '.join(several)}"
            problems.of(partial(wrong, problem, "One image a role is current in a channel."))
    problems.stop()
    for image in unique:
        done = channels.promote(glance, image, channel)
        before = done.before
        if before is not None and before.id == image.id:
            click.echo(f"{image.shown}: is the current image of {image.role} in {channel} already")
        else:
            was = "nothing" if before is None else before.shown
            click.echo(f"{image.shown}: is now the current image of {image.role} in {channel}; before: {was}")
        for one in done.hidden:
            click.echo(f"  hidden: {one.shown}")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--hide-only", is_flag=True, help="Hide the image and take it out of its channels, but keep it.")
@click.option("--even-current", is_flag=True, help="Also the current image of a channel, which has none then.")
@click.option("--ignore-unknown-servers", is_flag=True, help="Also delete an image if Nova cannot say who uses it.")
@options.os_cloud
def retire(names: tuple[str, ...], hide_only: bool, even_current: bool, ignore_unknown_servers: bool,
           os_cloud: str | None) -> None:
    """Hide IMAGE, and delete it if no server uses it.

    An image that servers use is hidden and kept, and the exit status is 1: replace the servers, and retire it again.
    Servers whose disk is a volume have a copy of their own and do not count.
    """
    glance = Glance(opened(os_cloud))
    known = glance.ours()
    problems = Problems()
    found = [image for name in names if (image := problems.of(partial(choose, name, known))) is not None]
    unique = list({image.id: image for image in found}.values())
    for image in unique:
        for problem in refusal(image, known, even_current=even_current):
            problems.of(partial(wrong, problem, "Promote another image first, or say --even-current."))
    problems.stop()
    kept = []
    for image in unique:
        done = retire_image(glance, image, ignore_unknown=ignore_unknown_servers, keep=hide_only)
        click.echo(f"{image.shown}: {f'hidden, not deleted: {done.kept}' if done.kept else 'deleted'}")
        kept += [image.shown] if done.kept and not hide_only else []
    if kept:
        raise StepError(f"{len(kept)} of {len(unique)} images were hidden, but not deleted",
                        "Retire them again when no server uses them. Where Nova cannot tell: --ignore-unknown-servers.")


def opened(os_cloud: str | None) -> connection.Cloud:
    """The cloud, logged in."""
    cloud = connection.find(os_cloud)
    cloud.log_in()
    return cloud


def wrong(problem: str, hint: str) -> None:
    """Raise one problem."""
    raise InputError([problem], hint)
