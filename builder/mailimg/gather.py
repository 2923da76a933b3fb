"""Measures what decides a build: elements, templates, agent, programs, package index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path

from mailimg import apt, base_image, dib, process, qcow2, yum
from mailimg.errors import Problems
from mailimg.identity import digest_document, digest_file, digest_folder
from mailimg.plan import ROLE_LAYER, ImagePlan, Inputs, layer_elements, plan_image
from mailimg.resources import Resources
from mailimg.rolejson import role_document
from mailimg.roles import Distro, Image, Role, load_distro, load_image, load_role, role_names
from mailimg.sources import BaseImage, PackageSources, Wanted

# What an identity that is not known yet reads like in role.json.
NO_IDENTITY = ""

# Programs that decide bytes, and how each says its version.
PROGRAMS = {
    "mmdebstrap": ["mmdebstrap", "--version"],
    "mke2fs": ["mke2fs", "-V"],
    "qemu-img": ["qemu-img", "--version"],
    "grub-mkimage": ["grub-mkimage", "--version"],
}

# The builder's own modules that decide bytes: of layers, and of disks and images.
CODE = {
    "mailimg layers": ("dib.py", "dib_tree.py", "rootfs.py", "trees.py"),
    "mailimg disk": ("bootloader.py", "disk.py", "ext4.py", "qcow2.py"),
}


def load(resources: Resources, roles: Sequence[str], distro: str) -> tuple[list[tuple[Role, Image]], Distro]:
    """Read all that the user asked for; all problems of all files at once.

    Raises:
        InputError: unknown names, wrong files.
    """
    problems = Problems()
    known = dib.Elements(resources.elements_path)
    chosen = problems.of(lambda: load_distro(resources, distro))
    pairs: list[tuple[Role, Image]] = []
    for name in roles:
        role = problems.of(partial(load_role, resources, name))
        # No role of that name: that its image is not there either would say the same twice.
        image = problems.of(partial(load_image, resources, name)) if name in role_names(resources) else None
        if role is not None and image is not None:
            pairs.append((role, image))
        if role is not None and chosen is not None:
            problems.of(partial(role_document, role, chosen, identity=NO_IDENTITY, version=package_version("mailimg")))
            for _, elements in layer_elements(role, chosen):
                problems.of(partial(known.expand, elements))
    problems.stop()
    assert chosen is not None  # noqa: S101 - else `stop` has raised
    return pairs, chosen


def choose(
    resources: Resources,
    pairs: Sequence[tuple[Role, Image]],
    distro: Distro,
    wanted: Wanted,
    *,
    cache: Path | None,
    digest: Callable[[Path], str] = digest_file,
) -> tuple[PackageSources, BaseImage | None]:
    """Where the packages come from, and the base image if the distribution starts from one.

    Args:
        cache: file for what this host's package manager would have to find out again; None keeps nothing.
        digest: SHA-256 of a file; may remember.

    Raises:
        InputError: everything in `wanted` that is wrong or missing for the distribution and these roles.
    """
    packages = distro.packages
    if packages["manager"] == "apt":
        apt.check_wanted(wanted, distro.name)
        return apt.sources(packages["suites"], packages["component"], wanted.mirror, cache), None
    problems = Problems()
    base = None
    if distro.base_image is not None:
        base = problems.of(partial(base_image.chosen, distro.base_image, wanted, digest))
    known = dib.Elements(resources.elements_path)
    lists = {elements for role, _ in pairs for _, elements in layer_elements(role, distro)}
    used = {name for elements in lists for name in known.expand(elements)}
    more = base.environment() if base is not None else {}
    sources = problems.of(partial(yum.sources, packages["repositories"], wanted, used, distro.name, more))
    problems.stop()
    assert sources is not None  # noqa: S101 - else `stop` has raised
    return sources, base


def measure(
    resources: Resources,
    pairs: Sequence[tuple[Role, Image]],
    distro: Distro,
    sources: PackageSources,
    base: BaseImage | None = None,
    *,
    index: bool,
) -> Inputs:
    """Measure everything that decides the images.

    Args:
        index: ask the mirror for the state of its index; without, plans are made off-line and say `unknown`.
    """
    lists = {elements for role, _ in pairs for _, elements in layer_elements(role, distro)}
    known = dib.Elements(resources.elements_path)
    with ThreadPoolExecutor(max_workers=1) as pool:
        versions = pool.submit(program_versions)  # while the mirror answers
        packages = sources.measured(index=index)
    return Inputs(
        elements={elements: known.digests(elements) for elements in lists},
        packages=packages,
        base_image=base,
        programs={"diskimage-builder": dib.version(), "zlib-ng": qcow2.version(), **versions.result(), **own_code()},
        agent=digest_folder(resources.firstboot),
        templates={role.name: digest_folder(role.folder / "templates") for role, _ in pairs},
        role_documents={
            role.name: role_document(role, distro, identity=NO_IDENTITY, version=package_version("mailimg"))
            for role, _ in pairs
        },
    )


def plans(
    pairs: Sequence[tuple[Role, Image]], distro: Distro, inputs: Inputs, *, form: str, compress: str
) -> list[ImagePlan]:
    """One plan an image."""
    return [plan_image(role, distro, image, inputs, form=form, compress=compress) for role, image in pairs]


def own_code() -> dict[str, str]:
    """Digests of the builder's own modules that decide bytes: an edited one must not meet what the old one made."""
    here = Path(__file__).parent
    return {part: digest_document({name: digest_file(here / name) for name in names}) for part, names in CODE.items()}


def program_versions() -> dict[str, str]:
    """Version of each program that decides bytes, as it says it itself."""
    with ThreadPoolExecutor(max_workers=len(PROGRAMS)) as pool:
        return dict(zip(PROGRAMS, pool.map(program_version, PROGRAMS.values()), strict=True))


def program_version(argv: Sequence[str]) -> str:
    """First line of what a program says of its version; `missing` when the host lacks it."""
    if process.which(argv[0]) is None:
        return "missing"
    answer = process.run(argv, what=f"ask {argv[0]} for its version", timeout=30)
    return (answer.stdout or answer.stderr).strip().splitlines()[0]


def shipped_elements(resources: Resources) -> list[str]:
    """Names of the elements of this installation, those of the last layer included."""
    found = {path.name for folder in resources.elements_path for path in folder.iterdir() if path.is_dir()}
    return sorted(found | set(ROLE_LAYER))
