"""What each layer of an image brought and what it cost, asked while the trees are in the store.

Later commands (`report`, `diff`) have only the manifest: the store may be on another host, or cleaned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mailimg.packages import Package
from mailimg.plan import ImagePlan
from mailimg.store import Store


def layer_facts(plan: ImagePlan, store: Store, built: Collection[str]) -> list[dict[str, Any]]:
    """For each layer, parent first: size of its tree, when it was built, how long that and each hook took.

    Args:
        built: names of the layers that this build made; the times of all others are of an earlier one.

    Returns:
        `tree_bytes`, `seconds` and `hooks` are None or empty for a layer that left the store meanwhile.
    """
    facts = []
    for layer in plan.layers:
        stored = store.peek(layer.identity)
        known: Mapping[str, Any] = stored.facts if stored is not None else {}
        facts.append({
            "reused": layer.name not in built,
            "tree_bytes": known.get("bytes"),
            "seconds": known.get("seconds"),
            "hooks": [{**hook, "start": round(hook["start"], 2), "seconds": round(hook["seconds"], 2)}
                      for hook in known.get("hooks", ())],
        })
    return facts


def origins(
    plan: ImagePlan, store: Store, packages: Sequence[Package], read: Callable[[Path], Sequence[Package]]
) -> dict[str, str]:
    """Which layer brought each package of the finished tree: package -> layer.

    Args:
        packages: of the finished tree.
        read: asks a tree for its packages.
    """
    found: dict[str, str] = {}
    for layer in plan.layers[:-1]:
        stored = store.peek(layer.identity)
        if stored is not None:
            for package in read(stored.tree):
                found.setdefault(package.name, layer.name)
    last = plan.layers[-1].name
    return {package.name: found.get(package.name, last) for package in packages}
