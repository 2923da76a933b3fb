"""What is known of an image, beside the image: a JSON file that every later command reads."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mailimg import whole
from mailimg.errors import InputError, StepError
from mailimg.identity import digest_file
from mailimg.packages import Package
from mailimg.plan import ImagePlan

SCHEMA = 2


def manifest_path(image: Path) -> Path:
    """Where an image's manifest lies."""
    return image.with_name(f"{image.name}.manifest.json")


def describe(
    plan: ImagePlan,
    image: Path,
    *,
    packages: Sequence[Package],
    package_manager: str,
    origins: Mapping[str, str],
    layer_facts: Sequence[Mapping[str, Any]],
    contract: Mapping[str, Any],
    cloud: Mapping[str, Any],
    os_facts: Mapping[str, str],
    seconds: Mapping[str, float],
    version: str,
) -> dict[str, Any]:
    """The manifest of a finished image.

    Args:
        package_manager: the distribution's: `apt`, `yum`.
        origins: which layer brought each package.
        layer_facts: for each layer of the plan, what `history.layer_facts` tells.
        contract: what `mailimg verify` needs to know: listeners, ports, scenarios, login, memory.
        cloud: what `mailimg upload` needs to know: `build.cloud_facts`.
        seconds: how long each stage of this build took.
    """
    return {
        "schema": SCHEMA,
        "role": plan.role,
        "distro": plan.distro,
        "os": dict(os_facts),
        "identity": plan.identity,
        "epoch": plan.epoch,
        "version": version,
        "image": {
            "file": image.name,
            "format": plan.form,
            "compress": plan.compress,
            "bytes": image.stat().st_size,
            "virtual_bytes": plan.size_bytes,
            "tree_bytes": layer_facts[-1]["tree_bytes"],
            "sha256": digest_file(image),
        },
        "layers": [
            {
                "name": layer.name,
                "identity": layer.identity,
                "elements": list(layer.elements),
                "inputs": dict(layer.inputs),
                **facts,
            }
            for layer, facts in zip(plan.layers, layer_facts, strict=True)
        ],
        "contract": dict(contract),
        "cloud": dict(cloud),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "package_manager": package_manager,
        "packages": [{**asdict(package), "layer": origins[package.name]} for package in packages],
        "verify": None,
    }


def read(image: Path) -> dict[str, Any]:
    """The manifest of an image.

    Raises:
        InputError: there is none, or it is not one.
    """
    path = manifest_path(image)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = f"{image}: has no manifest {path.name} beside it"
        raise InputError([problem], "Build it with `mailimg build`.") from None
    except (OSError, ValueError) as error:
        raise InputError([f"{path}: cannot be read: {error}"], "Build the image again.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError([f"{path}: is no manifest of schema {SCHEMA}"], "Build the image again.")
    return document


def write(image: Path, document: Mapping[str, Any]) -> None:
    """Write the manifest, whole or not at all."""
    with whole.written(manifest_path(image)) as stream:
        json.dump(document, stream, indent=2)
        stream.write("\n")


def amend(image: Path, sha256: str, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Change the manifest of an image that may be built anew, or verified in another way, at the same time.

    Args:
        sha256: of the image that the change speaks of.
        change: gets the manifest as it is now, and gives the one to write.

    Raises:
        StepError: by now the manifest is that of another image; it stays as it is.
    """
    # The image's own inode is the lock: it is there already, and a build that replaces the image brings another.
    with image.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        document = read(image)
        if document["image"]["sha256"] != sha256:
            raise StepError(f"{image}: was replaced meanwhile; what was found out about the other is not recorded",
                            "Do it again with the image that is there now.")
        write(image, change(document))
