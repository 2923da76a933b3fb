"""Builds the layers of a plan that the store does not hold yet."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path

from mailimg import base_image, dib, trees
from mailimg.errors import StepError, refused
from mailimg.plan import ImagePlan, Inputs, Layer
from mailimg.plan import environment as variables
from mailimg.progress import Task
from mailimg.resources import Resources
from mailimg.roles import first_with
from mailimg.store import Store, StoredLayer


def build_layers(
    plan: ImagePlan, inputs: Inputs, resources: Resources, store: Store, task: Task, *, slot: int = 0
) -> tuple[StoredLayer, list[str]]:
    """Bring all layers of an image into the store.

    Args:
        slot: number of the package cache to use; two builds at once must not share one, since apt locks it.

    Returns:
        The last layer, and the names of those that had to be built.

    Raises:
        StepError: a layer failed; names element and hook.
    """
    built: list[str] = []

    def usable(layer: Layer) -> StoredLayer | None:
        """The layer as it is in the store; None if it is not there, or no longer what was built. Needs its lock."""
        stored = store.get(layer.identity)
        if stored is None:
            return None
        task.update(f"layer {layer.name}: in store")
        if store.whole(stored):
            return stored
        task.update(f"layer {layer.name} changed in the store: built again")
        store.discard(layer.identity)
        return None

    def obtain(place: int) -> StoredLayer:
        """A layer from the store, or built on the one below; what is not built on is not looked at."""
        layer = plan.layers[place]
        waits = partial(task.update, f"layer {layer.name}: another build makes it")
        with store.lock(layer.identity, waits=waits):
            stored = usable(layer)
        if stored is not None:
            return stored
        parent = obtain(place - 1) if place else None
        with store.lock(layer.identity, waits=waits):
            # Another build may have made it meanwhile.
            stored = usable(layer)
            if stored is None:
                stored = make(layer, parent)
                built.append(layer.name)
        return stored

    def make(layer: Layer, parent: StoredLayer | None) -> StoredLayer:
        try:
            return build_layer(layer, parent, plan, inputs, resources, store, task, slot)
        except OSError as error:
            raise refused(f"build layer {layer.name}", error, store.root) from error
        except StepError as error:
            where = f"layer {layer.name} of roles/{plan.role}/role.yaml on {plan.distro}"
            raise StepError(f"{where}: {error.message}", error.hint, error.tail) from error

    last = obtain(len(plan.layers) - 1)
    for layer in plan.layers:
        # What an image stands on is in use, whether it was read this time or not.
        store.get(layer.identity)
    return last, built


def build_layer(
    layer: Layer,
    parent: StoredLayer | None,
    plan: ImagePlan,
    inputs: Inputs,
    resources: Resources,
    store: Store,
    task: Task,
    slot: int,
) -> StoredLayer:
    """Build one layer; the caller holds its lock."""
    task.update(f"layer {layer.name}")
    log = store.root / "logs" / f"{layer.name}-{layer.identity[:12]}.log"
    log.unlink(missing_ok=True)
    begun, wall_clock = time.monotonic(), time.time()
    with store.work() as work:
        epoch = inputs.packages.epoch
        environment: Mapping[str, str] = {**variables(layer.elements, inputs), "SOURCE_DATE_EPOCH": str(epoch)}
        if parent is None and inputs.base_image is not None:
            base = base_image.obtain(inputs.base_image, store.root / "cache" / "base-images",
                                     lambda text: task.update(f"layer {layer.name}: {text}"))
            environment = {**environment, "MAILIMG_BASE_IMAGE": str(base)}
        if layer.role is not None:
            stage_role(work / "role", layer, resources, inputs)
            environment = {
                **environment,
                "MAILIMG_ROLE": str(work / "role"),
                "MAILIMG_FIRSTBOOT": str(resources.firstboot),
            }
        (work / "dib").mkdir()
        hooks = dib.build_tree(
            layer.elements,
            tree=work / "tree",
            parent=parent.tree if parent else None,
            elements_path=resources.elements_path,
            work=work / "dib",
            cache=store.root / "cache" / f"slot-{slot}",
            environment=environment,
            log=log,
            on_phase=lambda phase, hook: task.update(f"layer {layer.name}, {phase}: {hook}"),
        )
        task.update(f"layer {layer.name}: into the store")
        # Whole seconds: a file system may keep no finer times.
        trees.settle(work / "tree", int(wall_clock), epoch)
        if parent is not None:
            trees.share(work / "tree", parent.tree)
        facts = {
            "schema": 1,
            "name": layer.name,
            "distro": plan.distro,
            "identity": layer.identity,
            "parent": layer.parent,
            "elements": list(layer.elements),
            "inputs": dict(layer.inputs),
            "seconds": round(time.monotonic() - begun, 2),
            "hooks": [asdict(hook) for hook in hooks],
        }
        return store.put(layer.identity, work / "tree", facts)


def stage_role(folder: Path, layer: Layer, resources: Resources, inputs: Inputs) -> None:
    """Put role.json and templates where element mailimg-role takes them from."""
    assert layer.role is not None  # noqa: S101 - the caller asked
    document = {**inputs.role_documents[layer.role], "identity": layer.identity, "version": package_version("mailimg")}
    folder.mkdir()
    (folder / "role.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    shutil.copytree(
        first_with(resources.roles_path, layer.role, "role.yaml") / "templates", folder / "templates"
    )
