"""Where size and time of an image went, as numbers: a pure function of its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KIB, MIB, GIB = 1024, 1024**2, 1024**3
STAGES = ("disk", "image")  # after the layers, in this order


@dataclass(frozen=True)
class PackageSize:
    """A package; `size` is its installed size in bytes, as the package says it."""

    name: str
    version: str
    layer: str
    size: int


@dataclass(frozen=True)
class HookTime:
    """A hook of a layer; `start` counts from the start of the layer; both in seconds."""

    layer: str
    phase: str
    hook: str
    start: float
    seconds: float


@dataclass(frozen=True)
class LayerCost:
    """What a layer brought and cost.

    Attributes:
        seconds: how long it took when it was built; None when that is not known any more.
        reused: it was in the store: the time is of an earlier build.
        added: bytes by which its tree is larger than its parent's; None when one of them is not known.
        packages: that it brought, the largest first.
        hooks: in the order in which they ran.
    """

    name: str
    identity: str
    reused: bool
    seconds: float | None
    added: int | None
    packages: tuple[PackageSize, ...]
    hooks: tuple[HookTime, ...]

    @property
    def package_bytes(self) -> int:
        """Installed size of its packages."""
        return sum(package.size for package in self.packages)

    @property
    def other_bytes(self) -> int:
        """What it brought beside packages: initrd, caches, our own files; 0 where cleaning took more than that."""
        return max(0, (self.added or 0) - self.package_bytes)


@dataclass(frozen=True)
class Figures:
    """All numbers of one image; sizes in bytes, times in seconds.

    Attributes:
        took: this build: layers, disk, image.
        stages: what came after the layers.
    """

    name: str
    role: str
    distro: str
    identity: str
    image_bytes: int
    tree_bytes: int
    virtual_bytes: int
    took: float
    stages: Mapping[str, float]
    layers: tuple[LayerCost, ...]

    @property
    def packages(self) -> tuple[PackageSize, ...]:
        """All packages, the largest first."""
        return largest(package for layer in self.layers for package in layer.packages)

    @property
    def hooks(self) -> tuple[HookTime, ...]:
        """All hooks, the slowest first."""
        hooks = (hook for layer in self.layers for hook in layer.hooks)
        return tuple(sorted(hooks, key=lambda hook: (-hook.seconds, hook.layer, hook.hook)))

    @property
    def from_nothing(self) -> float:
        """What this build would have taken without any layer in the store."""
        return sum(layer.seconds or 0 for layer in self.layers) + sum(self.stages.values())


def figures(manifest: Mapping[str, Any]) -> Figures:
    """The numbers of the image that a manifest describes."""
    image, seconds = manifest["image"], manifest["seconds"]
    layers = []
    below: int | None = 0
    for layer in manifest["layers"]:
        size = layer["tree_bytes"]
        layers.append(LayerCost(
            name=layer["name"],
            identity=layer["identity"],
            reused=layer["reused"],
            seconds=layer["seconds"],
            added=size - below if size is not None and below is not None else None,
            packages=largest(
                PackageSize(package["name"], package["version"], layer["name"], package["size_kib"] * KIB)
                for package in manifest["packages"] if package["layer"] == layer["name"]
            ),
            hooks=tuple(HookTime(layer["name"], **hook) for hook in layer["hooks"]),
        ))
        below = size
    return Figures(
        name=image["file"],
        role=manifest["role"],
        distro=manifest["distro"],
        identity=manifest["identity"],
        image_bytes=image["bytes"],
        tree_bytes=image["tree_bytes"],
        virtual_bytes=image["virtual_bytes"],
        took=sum(seconds.values()),
        stages={name: seconds[name] for name in STAGES if name in seconds},
        layers=tuple(layers),
    )


def largest(packages: Iterable[PackageSize]) -> tuple[PackageSize, ...]:
    """Packages by size; equal ones by name."""
    return tuple(sorted(packages, key=lambda package: (-package.size, package.name)))


def size_words(size: float) -> str:
    """A number of bytes with a unit that keeps it short: `521 MiB`, `7.4 MiB`, `34 KiB`."""
    sign = "-" if size < 0 else ""
    size = abs(size)
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            value = size / unit
            return f"{sign}{value:.1f} {name}" if value < 10 else f"{sign}{value:.0f} {name}"
    return f"{sign}{size:.0f} B"


def time_words(seconds: float | None) -> str:
    """A time with its unit: `0.4 s`, `31 s`, `2 min 5 s`."""
    if seconds is None:
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
