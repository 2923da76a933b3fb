"""Why something is built: the inputs of the last build held against those of the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailimg.plan import ImagePlan

SCHEMA = 1


@dataclass(frozen=True)
class Change:
    """One part of an image: a layer, or the disk.

    Attributes:
        part: the layer's name, or `disk`.
        rebuilt: whether the next build makes it anew.
        inputs: what changed, in words; empty for a part that is only rebuilt because of the one below.
        below: name of the rebuilt part below, if there is one.
    """

    part: str
    rebuilt: bool
    inputs: tuple[str, ...]
    below: str | None


def decided(plan: ImagePlan) -> dict[str, Any]:
    """What decided an image, as the store keeps it."""
    return {
        "schema": SCHEMA,
        "layers": [
            {"name": layer.name, "elements": list(layer.elements), "inputs": dict(layer.inputs)}
            for layer in plan.layers
        ],
        "disk": dict(plan.inputs),
    }


def changes(last: Mapping[str, Any], plan: ImagePlan) -> list[Change]:
    """What changed since the last build, part by part, the distribution first."""
    known = {layer["name"]: layer for layer in last["layers"]}
    found: list[Change] = []
    below: str | None = None
    for layer in plan.layers:
        before = known.get(layer.name)
        if before is None:
            words = ["is new in the role"]
        else:
            words = differences(before["inputs"], layer.inputs)
            if before["elements"] != list(layer.elements):
                words.append(f"elements: {' '.join(before['elements'])} -> {' '.join(layer.elements)}")
        rebuilt = bool(words) or below is not None
        found.append(Change(layer.name, rebuilt, tuple(words), below))
        below = layer.name if rebuilt else None
    words = differences(last["disk"], plan.inputs)
    found.append(Change("disk", bool(words) or below is not None, tuple(words), below))
    return found


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names whose values differ, each with what happened; short values are shown."""
    words = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            words.append(f"{name}: new")
        elif name not in after:
            words.append(f"{name}: gone")
        elif before[name] != after[name]:
            words.append(f"{name}: {shown(before[name])} -> {shown(after[name])}")
    return words


def shown(value: str) -> str:
    """A value for a line of text; a digest by its beginning."""
    if len(value) == 64 and not set(value) - set("0123456789abcdef"):
        return value[:12]
    first = value.splitlines()[0] if value else "(empty)"
    return first if first == value or not value else f"{first} ..."
