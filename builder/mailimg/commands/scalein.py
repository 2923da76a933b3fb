"""`mailimg scale-in` and `mailimg stack roll`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from mailimg.cloud import connection
from mailimg.cloud.channel import USUAL, check_name
from mailimg.cloud.choose import choose
from mailimg.cloud.glance import Glance
from mailimg.cloud.images import CloudImage, current
from mailimg.commands import options
from mailimg.commands.stack import existing, name_option
from mailimg.errors import InputError
from mailimg.stack import roll as rolling
from mailimg.stack.groups import Member
from mailimg.stack.heat import Heat
from mailimg.stack.scalein import scale_in as shrink
from mailimg.stack.takeout import Work

# As long as `leave` takes at most with the usual waits (docs/cloud-images.md, os_shutdown_timeout), and some.
PATIENCE = 1800.0

patience_option: options.Decorator = click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=PATIENCE, show_default=True,
    help="Seconds that each server has to leave.")
role_option: options.Decorator = click.option("--role", required=True, help="Role whose servers are meant.")


@click.command("scale-in")
@role_option
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many servers go.")
@patience_option
@name_option
@options.os_cloud
@options.as_json
def scale_in(role: str, count: int, timeout: float, name: str, os_cloud: str | None, as_json: bool) -> None:
    """Take servers out of a layer without loss, one after the other: those with the oldest image first.

    Each is told to leave, and only when it says that it has left (its sessions over, its queue empty, out of the pools
    and the directory) Heat takes away that very one. The first that cannot leave ends it.
    """
    work = opened(role, timeout, name, os_cloud, f"mailimg scale-in --role {role} --name {name}")
    gone = shrink(work, count)
    if as_json:
        click.echo(json.dumps({"role": role, "gone": described(gone)}, indent=2))
        return
    for one in gone:
        click.echo(f"{role}: server {one.server} has left and is deleted")


@click.command()
@role_option
@click.option("--image", metavar="IMAGE", help="Id, name or beginning of the identity, instead of the channel's image.")
@click.option("--channel", default=USUAL, show_default=True, help="Channel whose current image is meant.")
@click.option("--again", is_flag=True, help="Though the image is the same: for another site document.")
@patience_option
@name_option
@options.os_cloud
@options.as_json
def roll(role: str, image: str | None, channel: str, again: bool, timeout: float, name: str, os_cloud: str | None,
         as_json: bool) -> None:
    """Give a layer servers of another image: as many new ones first, then the old ones leave, one by one.

    Servers keep the site document that they were made with: --again makes new ones of the same image, which get the one
    that was applied last. The same command goes on with a roll that was cut off; with the image from before, it takes
    it back. For a while there are twice as many servers: mind the quota.
    """
    check_name(channel)
    work = opened(role, timeout, name, os_cloud, f"mailimg stack roll --role {role} --name {name}")
    wanted = meant(Glance(work.cloud).ours(), role, image, channel)
    repeat = f"{work.again} --image {wanted.id}{' --again' if again else ''}"
    done, gone = rolling.roll(dataclasses.replace(work, again=repeat), wanted.id, again)
    if as_json:
        before = None if done is None else done.before
        click.echo(json.dumps({"role": role, "image": wanted.id, "before": before, "gone": described(gone)}, indent=2))
    elif done is None:
        click.echo(f"{role}: all servers have {wanted.shown} already")
    else:
        click.echo(f"{role}: {done.size} servers have {wanted.shown}; {len(gone)} old ones have left and are deleted")


def meant(known: Sequence[CloudImage], role: str, image: str | None, channel: str) -> CloudImage:
    """The image to roll to.

    Raises:
        InputError: there is none, or it is of another role.
    """
    if image is None:
        found = current(known, role, channel)
        if found is None:
            raise InputError([f"{role}: no image is promoted to {channel}"],
                             "`mailimg promote` one, or name it with --image.")
        return found
    one = choose(image, known)
    if one.role != role:
        raise InputError([f"--image {image}: {one.shown} is of role {one.role}, not {role}"])
    return one


def opened(role: str, timeout: float, name: str, os_cloud: str | None, again: str) -> Work:
    """What is worked with, logged in.

    Raises:
        InputError: there is no such cloud or stack.
    """
    cloud = connection.find(os_cloud)
    cloud.log_in()
    heat = Heat(cloud)
    existing(heat, name)
    return Work(heat, name, role, timeout, told(), again)


def told() -> Callable[[str], None]:
    """Progress goes to standard error, so that results can be piped."""
    return lambda line: click.echo(line, err=True)


def described(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Servers for scripts."""
    return [{"server": one.server, "member": one.place, "created": one.created} for one in members]
