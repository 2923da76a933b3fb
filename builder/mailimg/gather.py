"""Measures what decides a build: elements, templates, agent, programs, package index."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version as package_version

from mailimg import apt, dib, process
from mailimg.errors import InputError
from mailimg.identity import digest_folder
from mailimg.plan import ROLE_LAYER, ImagePlan, Inputs, layer_elements, plan_image
from mailimg.resources import Resources
from mailimg.rolejson import role_document
from mailimg.roles import Distro, Image, Role, load_distro, load_image, load_role

# What an identity that is not known yet reads like in role.json.
NO_IDENTITY = ""

# Programs that decide bytes, and how each says its version.
PROGRAMS = {
    "mmdebstrap": ["mmdebstrap", "--version"],
    "mke2fs": ["mke2fs", "-V"],
    "qemu-img": ["qemu-img", "--version"],
    "grub-mkimage": ["grub-mkimage", "--version"],
}


def load(resources: Resources, roles: Sequence[str], distro: str) -> tuple[list[tuple[Role, Image]], Distro]:
    """Read all that the user asked for; all problems of all files at once.

    Raises:
        InputError: unknown names, wrong files.
    """
    problems: list[str] = []
    hints: list[str] = []
    pairs: list[tuple[Role, Image]] = []
    chosen: Distro | None = None

    def keep(error: InputError) -> None:
        problems.extend(error.problems)
        if error.hint and error.hint not in hints:
            hints.append(error.hint)

    try:
        chosen = load_distro(resources, distro)
    except InputError as error:
        keep(error)
    for name in roles:
        try:
            role = load_role(resources, name)
            pairs.append((role, load_image(resources, name)))
            if chosen is not None:
                role_document(role, chosen, identity=NO_IDENTITY, version=package_version("mailimg"))
                for _, elements in layer_elements(role, chosen):
                    dib.expand(elements, resources.elements)
        except InputError as error:
            keep(error)
    if problems or chosen is None:
        raise InputError(problems, "\n".join(hints))
    return pairs, chosen


def measure(
    resources: Resources, pairs: Sequence[tuple[Role, Image]], distro: Distro, sources: apt.AptSources, *, index: bool
) -> Inputs:
    """Measure everything that decides the images.

    Args:
        index: ask the mirror for the state of its index; without, plans are made off-line and say `unknown`.
    """
    lists = {elements for role, _ in pairs for _, elements in layer_elements(role, distro)}
    state = apt.index_state(sources.archives) if index else apt.IndexState("unknown", 0)
    return Inputs(
        elements={elements: dib.element_digests(elements, resources.elements) for elements in lists},
        environment=sources.environment(),
        package_index=state.digest,
        epoch=state.epoch,
        programs={name: program_version(argv) for name, argv in PROGRAMS.items()} | {"diskimage-builder": dib.version()},
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


def program_version(argv: Sequence[str]) -> str:
    """First line of what a program says of its version; `missing` when the host lacks it."""
    if process.which(argv[0]) is None:
        return "missing"
    answer = process.run(argv, what=f"ask {argv[0]} for its version", timeout=30)
    return (answer.stdout or answer.stderr).strip().splitlines()[0]


def shipped_elements(resources: Resources) -> list[str]:
    """Names of the elements of this installation, those of the last layer included."""
    found = {path.name for path in resources.elements.iterdir() if path.is_dir()}
    return sorted(found | set(ROLE_LAYER))
