"""The image that a distribution's tree is taken from: downloaded once, never used before its digest is right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mailimg import web
from mailimg.errors import InputError, StepError
from mailimg.identity import digest_file
from mailimg.sources import BaseImage, Wanted

GIB = 1024**3
# The image as a raw disk and its tree: about 2 GB each for 0.9 GB of compressed image; not measured, no real image was
# within reach.
NEED_BYTES = 4 * GIB


def chosen(known: Mapping[str, Any], wanted: Wanted, digest: Callable[[Path], str]) -> BaseImage:
    """The base image of a build.

    Args:
        known: `base_image` of distro.yaml.
        digest: SHA-256 of a file.

    Raises:
        InputError: the file is not the image that is known, or not the one whose digest the user gave.
    """
    expected = (wanted.base_sha256 or known["sha256"]).lower()
    if len(expected) != 64 or set(expected) - set("0123456789abcdef"):
        raise InputError([f"--base-sha256 {wanted.base_sha256!r} is no SHA-256 (64 hex digits)"])
    if wanted.base_image is not None:
        try:
            found = digest(wanted.base_image)
        except OSError as error:
            raise InputError([f"--base-image {wanted.base_image}: cannot be read: {error.strerror}"]) from error
        if found != expected:
            raise InputError(
                [f"--base-image {wanted.base_image}: its SHA-256 is {found}, expected {expected}"],
                "Fetch it again; if it is another image that you trust, say so with --base-sha256.",
            )
    own = wanted.base_sha256 is not None
    return BaseImage(tuple(known["urls"]), expected, 0 if own else known["bytes"], known["release"], wanted.base_image,
                     wanted.ca)


def obtain(base: BaseImage, cache: Path, report: Callable[[str], None]) -> Path:
    """The image file, its digest checked just now.

    Args:
        cache: folder for downloads; made if missing.
        report: told how far the download is.

    Raises:
        StepError: no URL gives it, what came is another file, or the disk is full.
    """
    kept = base.file or cache / f"{base.sha256}.qcow2"
    if kept.is_file():
        report("check the base image")
        if digest_file(kept) == base.sha256:
            return kept
        if base.file is not None:
            raise StepError(f"{kept}: changed while the build ran; its SHA-256 is no longer {base.sha256}")
        kept.unlink()
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < base.size_bytes + NEED_BYTES:
        raise StepError(
            f"{cache}: {free / GIB:.1f} GiB free; the base image and its unpacked tree need"
            f" {(base.size_bytes + NEED_BYTES) / GIB:.0f} GiB",
            "Free some space (`mailimg clean` removes old layers), or choose --store elsewhere.",
        )
    failures = []
    for url in base.urls:
        why = fetched(base, url, kept, report)
        if why is None:
            return kept
        failures.append(f"{url}: {why}")
    raise StepError(
        "cannot fetch the base image:\n" + "\n".join(failures),
        "Fetch it by other means and name it with --base-image FILE. Without it, --distro debian-12 builds the same"
        " roles.",
    )


def fetched(base: BaseImage, url: str, target: Path, report: Callable[[str], None]) -> str | None:
    """Download one URL; None if the right file is there now, else why not."""
    total = f" of {base.size_bytes / 1024**2:.0f}" if base.size_bytes else ""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            web.download(url, stream, lambda done: report(f"base image: {done / 1024**2:.0f}{total} MiB"), ca=base.ca)
        found = digest_file(partial)
        if found != base.sha256:
            return f"its SHA-256 is {found}, expected {base.sha256}"
        partial.replace(target)
    except web.UnreachableError as error:
        return str(error)
    finally:
        partial.unlink(missing_ok=True)
    return None
