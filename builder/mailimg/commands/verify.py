"""`mailimg verify`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mailimg import manifest
from mailimg.commands import options
from mailimg.errors import InputError, StepError
from mailimg.identity import digest_file
from mailimg.progress import Display
from mailimg.store import Store
from mailimg.verify import RoleView, VerifyResult, verify_image, verify_tree
from mailimg.verify import cloud as clouds
from mailimg.verify.report import figure_lines, phase_line, result_table


@click.command()
@click.argument("image", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--by",
    type=click.Choice(["qemu", "nspawn"]),
    default="qemu",
    show_default=True,
    help="qemu boots the image itself; nspawn boots its tree from the layer store in a container, in seconds.",
)
@click.option(
    "--firmware", type=click.Choice(["bios", "uefi"]), default="bios", show_default=True, help="What QEMU boots with."
)
@click.option(
    "--accel",
    type=click.Choice(["auto", "kvm", "tcg"]),
    default="auto",
    show_default=True,
    help="How QEMU runs the guest; auto takes KVM where it works.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=600.0, show_default=True, help="Seconds the agent may take."
)
@click.option(
    "--cloud",
    "cloud_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A cloud whose load balancer the node joins and whose key manager holds its secrets (docs/operating.md).",
)
@options.store
@options.as_json
def verify(
    image: Path, by: str, firmware: str, accel: str, timeout: float, cloud_file: Path | None, store: Path, as_json: bool
) -> None:
    """Boot IMAGE next to real servers of a site, let it join them, use it as its peers do, and let it leave.

    The site: an Active Directory domain, a directory, a name server, an HTTPS server with the node's certificate, mail
    servers; with --cloud a load balancer and a key manager.

    Works on a throw-away overlay in namespaces of its own: the image is not changed, nothing is left behind. The result
    is written into the image's manifest. Exit status 1 when anything was not proved.

    \b
      mailimg verify images/out/smtp-in-debian-12.qcow2
      mailimg verify images/out/smtp-in-debian-12.qcow2 --by nspawn
    """
    options.need_root("verifying an image")
    document = manifest.read(image)
    if document["image"]["sha256"] != digest_file(image):
        raise InputError([f"{image}: is not the file its manifest describes"], "Build it again.")
    if by == "nspawn" and not document["contract"].get("container", True):
        problem = f"{image}: the systemd of {document['distro']} does not run in a container on current hosts"
        raise InputError([problem], "Boot the image itself: --by qemu.")
    view = role_view(document)
    cloud = None if cloud_file is None else clouds.read(cloud_file)
    console = Console(stderr=True)
    # What a killed verification left in the store is removed by whoever works there next.
    with Store(store).work() as scratch, Display(console) as display, display.task(f"verify {image.name}") as task:
        if by == "qemu":
            result = verify_image(
                image,
                view,
                report=task.update,
                firmware=firmware,
                accel=accel,
                timeout=timeout,
                memory_mib=memory(document),
                scratch=scratch,
                peers=store / "peers",
                cloud=cloud,
            )
        else:
            result = verify_tree(
                stored_tree(document, store),
                view,
                report=task.update,
                timeout=timeout,
                scratch=scratch,
                peers=store / "peers",
                cloud=cloud,
            )
    record(image, document["image"]["sha256"], f"{by}-{firmware}" if by == "qemu" else by, result)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        stdout = Console()
        stdout.print(result_table(result))
        stdout.print(phase_line(result))
        for line in figure_lines(result.figures):
            stdout.print(line, highlight=False)
        for line in result.console:
            stdout.print(f"  {line}", markup=False, highlight=False)
    if not result.ok:
        sys.exit(1)


def role_view(document: dict[str, Any]) -> RoleView:
    """What the verification needs of the role, from the manifest."""
    contract = document["contract"]
    return RoleView(
        name=contract["role"],
        listeners=tuple(contract["listeners"]),
        scenarios=tuple(contract["verify"]),
        login=contract["login"],
    )


def memory(document: dict[str, Any]) -> int:
    """Memory of the smallest flavor, in MiB: what runs there must run here."""
    return int(document["contract"]["min_ram_mib"])


def stored_tree(document: dict[str, Any], store: Path) -> Path:
    """The tree that the image was made from.

    Raises:
        StepError: it is in the store no more.
    """
    identity = document["layers"][-1]["identity"]
    layer = Store(store).get(identity)
    if layer is None:
        raise StepError(
            f"the tree of this image (layer {identity[:12]}) is not in the store {store}",
            "Name the store it was built with (--store), build it again, or verify the image itself (--by qemu).",
        )
    return layer.tree


def record(image: Path, sha256: str, key: str, result: VerifyResult) -> None:
    """Write the result into the manifest, beside those of other ways to boot.

    Raises:
        StepError: another image took the place of the one that was verified.
    """
    manifest.amend(image, sha256, lambda document: {
        **document, "verify": {**(document["verify"] or {}), key: result.to_dict()}})
