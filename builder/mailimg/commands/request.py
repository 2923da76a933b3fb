"""What `plan`, `why` and `build` are asked for: the same options, checked and measured in the same way."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailimg import gather
from mailimg.commands import options
from mailimg.errors import InputError
from mailimg.plan import ImagePlan, Inputs
from mailimg.resources import Resources, installed
from mailimg.roles import Distro, Image, Role
from mailimg.seen import Digests
from mailimg.sources import Wanted

OPTIONS = (
    options.role,
    options.every,
    options.distro,
    options.roles_path,
    options.elements_path,
    options.form,
    options.compress,
    options.mirror,
    options.repository,
    options.repository_key,
    options.mirror_ca,
    options.base_image,
    options.base_sha256,
    options.store,
)


@dataclass(frozen=True)
class Request:
    """Images that the user asked for.

    Attributes:
        roles, every: the roles, or all of them.
        own_roles, own_elements: the user's own folders.
        form, compress: of the images.
        wanted: what was said about packages.
        store: folder of the layer store.
    """

    roles: tuple[str, ...]
    every: bool
    distro: str
    own_roles: tuple[Path, ...]
    own_elements: tuple[Path, ...]
    form: str
    compress: str
    wanted: Wanted
    store: Path


@dataclass(frozen=True)
class Planned:
    """A request, resolved: everything that a build needs to know."""

    resources: Resources
    pairs: Sequence[tuple[Role, Image]]
    distro: Distro
    inputs: Inputs
    images: Sequence[ImagePlan]


def request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a request, and hand them over as one value, `asked`."""

    @functools.wraps(command)
    def gathered(**values: Any) -> None:
        names = ("roles", "every", "distro", "own_roles", "own_elements", "form", "compress", "store")
        own = {name: values.pop(name) for name in names}
        wanted = Wanted(
            mirror=values.pop("mirror"),
            repositories=values.pop("repositories"),
            keys=tuple((name, existing(name, path)) for name, path in values.pop("keys")),
            ca=values.pop("ca"),
            base_image=values.pop("base_image"),
            base_sha256=values.pop("base_sha256"),
        )
        command(asked=Request(wanted=wanted, **own), **values)

    decorated: Callable[..., None] = gathered
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated


def existing(name: str, path: str) -> Path:
    """The file that `--repository-key ID=FILE` names.

    Raises:
        InputError: it cannot be read.
    """
    if not os.access(path, os.R_OK) or not Path(path).is_file():
        raise InputError([f"--repository-key {name}={path}: no such file, or it cannot be read"])
    return Path(path)


def planned(asked: Request, *, index: bool, ready: Callable[[], None] = lambda: None) -> Planned:
    """Resolve a request.

    Args:
        index: ask the package archives for the state of their indexes.
        ready: called when the request is known to be right, before anything outside is asked.

    Raises:
        InputError: everything that is wrong with it.
        StepError: an archive is out of reach.
    """
    resources = installed(asked.own_roles, asked.own_elements)
    names = options.chosen_roles(resources, asked.roles, asked.every)
    pairs, distro = gather.load(resources, names, asked.distro)
    ready()
    cache = asked.store / "cache"
    # A look does not make the store, nor does who may only read it keep anything there.
    if os.access(cache, os.W_OK):
        sources, base = gather.choose(resources, pairs, distro, asked.wanted, cache=cache / "host-packages.bin",
                                      digest=Digests(cache / "digests").of)
    else:
        sources, base = gather.choose(resources, pairs, distro, asked.wanted, cache=None)
    inputs = gather.measure(resources, pairs, distro, sources, base, index=index)
    images = gather.plans(pairs, distro, inputs, form=asked.form, compress=asked.compress)
    return Planned(resources, pairs, distro, inputs, images)
