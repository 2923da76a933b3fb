"""`mailimg diff`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mailimg import difference, manifest
from mailimg.commands import options
from mailimg.commands.difftable import difference_tables
from mailimg.difference import Difference, Snapshot
from mailimg.disktree import disk_files
from mailimg.errors import InputError, Problems, StepError, refused
from mailimg.filetree import Files, TreeFiles
from mailimg.identity import digest_file
from mailimg.progress import Display
from mailimg.store import Store

MANIFEST = ".manifest.json"
PIPE_WIDTH = 160
SAME, DIFFERENT, TROUBLE = 0, 1, 2


class NotComparableError(StepError):
    """The files cannot be compared, while all else can."""


@click.command()
@click.argument("a", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("b", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--files/--no-files", default=True, show_default=True, help="Compare the files, not only the manifests.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=40, show_default=True, help="Lines of one table; 0 shows all."
)
@options.store
@options.as_json
def diff(a: Path, b: Path, files: bool, limit: int, store: Path, as_json: bool) -> None:
    """Say what differs between two images: packages, files, rights, ports, units, size.

    A and B are images, or their manifests. Files are taken from the trees in the layer store; where one of them is not
    there, from the images themselves, which takes some seconds and space in TMPDIR. Sizes, identities and checksums are
    shown but are no difference by themselves. Times of files are not compared.

    \b
    Exit status, as of diff(1):
      0  no difference
      1  some differences
      2  something could not be compared and nothing else differs, or the work failed, or the input is wrong

    \b
      mailimg diff old/smtp-in-debian-12.qcow2 images/out/smtp-in-debian-12.qcow2
      mailimg diff --no-files --json old.qcow2.manifest.json new.qcow2 | jq .packages
    """
    problems = Problems()
    documents = [problems.of(partial(manifest.read, image_of(path))) for path in (a, b)]
    problems.stop()
    first, second = (document for document in documents if document is not None)
    missing = ""
    snapshots = None
    if files:
        try:
            snapshots = compared_files((image_of(a), first), (image_of(b), second), store)
        except NotComparableError as error:
            missing = f"files, units and rights were not compared: {error.message}. {error.hint}"
        except StepError as error:
            # Status 1 would read as "they differ".
            error.exit_code = TROUBLE
            raise
    found = difference.compare(first, second, snapshots)
    if as_json:
        click.echo(json.dumps({"same": not found and not missing, "missing": missing, **asdict(found)}, indent=2))
    else:
        show(found, missing, limit)
    sys.exit(DIFFERENT if found else TROUBLE if missing else SAME)


def image_of(path: Path) -> Path:
    """The image that a path names, itself or by its manifest."""
    return path.with_name(path.name.removesuffix(MANIFEST))


def compared_files(
    a: tuple[Path, Mapping[str, Any]], b: tuple[Path, Mapping[str, Any]], store: Path
) -> tuple[Snapshot, Snapshot]:
    """The files of both images, read from the same kind of place: a disk has what its tree has not, fstab for one.

    Raises:
        NotComparableError: we may not read them, or they are not there.
        StepError: reading them failed.
    """
    if os.geteuid() != 0:
        hint = "Run it again with sudo, or with --no-files."
        raise NotComparableError("reading all files of an image needs root", hint)
    with ExitStack() as stack, Display(Console(stderr=True)) as display, display.task("diff") as task:
        task.update("find the files")
        sources: list[Files] = []
        trees = [stored_tree(document, store) for _, document in (a, b)]
        for (image, document), tree in zip((a, b), trees, strict=True):
            if all(trees) and tree is not None:
                sources.append(TreeFiles(tree))
                continue
            task.update(f"unpack {image.name}")
            sources.append(stack.enter_context(opened_disk(image, document, store)))
        try:
            return read_files(sources[0], sources[1], task.update)
        except OSError as error:
            raise refused("read the files", error, store) from error


def stored_tree(document: Mapping[str, Any], store: Path) -> Path | None:
    """The tree that an image was made from, if the store has it; the store is not made."""
    if not (store / "layers").is_dir():
        return None
    layer = Store(store).peek(document["layers"][-1]["identity"])
    return layer.tree if layer is not None else None


def opened_disk(image: Path, document: Mapping[str, Any], store: Path) -> AbstractContextManager[Files]:
    """The files of an image from its disk.

    Raises:
        NotComparableError: the image is not there.
        InputError: it is not the one that its manifest describes.
    """
    if not image.is_file():
        raise NotComparableError(
            f"{image} is not there, and its tree is not in the store {store}", "Name the store with --store."
        )
    if document["image"]["sha256"] != digest_file(image):
        raise InputError([f"{image}: is not the file its manifest describes"], "Build it again.")
    return disk_files(image, document["image"]["format"])


def read_files(a: Files, b: Files, report: Callable[[str], None]) -> tuple[Snapshot, Snapshot]:
    """Entries, owners, and the content that has to be looked at."""
    report("list the files")
    entries = (a.entries(), b.entries())
    wanted = difference.to_read(*entries)
    snapshots = []
    for name, files, found in zip("AB", (a, b), entries, strict=True):
        report(f"read the files of {name}")
        digests = {path: digest_file(place) for path, place in files.read(wanted)}
        lists = {path: place.read_text(errors="replace") for path, place in files.read(difference.owner_lists(found))}
        snapshots.append(Snapshot(found, digests, difference.owners(found, lists)))
    return snapshots[0], snapshots[1]


def show(found: Difference, missing: str, limit: int) -> None:
    """What people get."""
    # A pipe has no width of its own; paths are better whole.
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for table in difference_tables(found, limit or sys.maxsize):
        console.print(table)
        console.print()
    if not found and not missing:
        console.print("no difference", highlight=False)
    if missing:
        Console(stderr=True).print(missing, highlight=False, markup=False, soft_wrap=True)
