"""The pipeline: plan -> layers -> disk -> image -> manifest."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from mailimg import disk, history, manifest, packages, process, rolejson, rootfs, sbom, scratch
from mailimg.errors import FULL_HINT, InputError, StepError, refused
from mailimg.identity import digest_file
from mailimg.plan import GIB, ImagePlan, Inputs
from mailimg.progress import Display, Task
from mailimg.resources import Resources
from mailimg.revision import DIRTY
from mailimg.roles import Distro, Role
from mailimg.seen import Digests
from mailimg.store import Store
from mailimg.why import decided

# A tree of the largest role with its parent's copy; measured: smtp-in's tree takes 0.9 GiB.
NEED_STORE_BYTES = 4 * GIB
# apt with Debian's package lists, a tree's pages, the clusters in work; measured: well under 1 GiB.
JOB_MEMORY_BYTES = 1 * GIB
# The raw disk is sparse: what counts is the tree's size again, and the image.
NEED_OUTPUT_BYTES = 2 * GIB
# Of folders in the output folder, each of one running build.
WORK_PREFIX = ".mailimg-work-"


@dataclass(frozen=True)
class Built:
    """One image as it lies in the output folder; `built` names the layers that had to be built for it."""

    image: Path
    manifest: Mapping[str, Any]
    built: tuple[str, ...]
    unchanged: bool
    seconds: float


def build_images(
    plans: Sequence[ImagePlan],
    roles: Mapping[str, Role],
    distro: Distro,
    inputs: Inputs,
    resources: Resources,
    store: Store,
    output: Path,
    display: Display,
    *,
    jobs: int,
    revision: str | None = None,
) -> list[Built]:
    """Build all images, `jobs` at a time, in the order of the plans.

    Args:
        revision: of the project's repository, for the manifests.

    Raises:
        StepError: a layer, disk or image failed; no file of that image is left half-written.
    """
    make_output(output)
    store.sweep()
    scratch.sweep(output, WORK_PREFIX)
    check_space(store, output)
    process.stopped.clear()
    slots: SimpleQueue[int] = SimpleQueue()
    for number in range(jobs):
        slots.put(number)
    threads = max(1, len(os.sched_getaffinity(0)) // min(jobs, max(1, len(plans))))

    def one(plan: ImagePlan) -> Built:
        slot = slots.get()
        try:
            with display.task(f"{plan.role} {plan.distro}") as task:
                return build_image(
                    plan, roles[plan.role], distro, inputs, resources, store, output, task, slot=slot, threads=threads,
                    revision=revision,
                )
        finally:
            slots.put(slot)

    with store.in_use(), ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            return list(pool.map(one, plans))
        except BaseException:
            # Ctrl-C arrives here, in the main thread, while others wait for diskimage-builder.
            with process.undisturbed():
                pool.shutdown(wait=False, cancel_futures=True)
                process.stop_all()
                pool.shutdown()
            raise


def build_image(
    plan: ImagePlan,
    role: Role,
    distro: Distro,
    inputs: Inputs,
    resources: Resources,
    store: Store,
    output: Path,
    task: Task,
    *,
    slot: int = 0,
    threads: int = 1,
    revision: str | None = None,
) -> Built:
    """Build one image, or find that the one in the output folder is it already; `threads` compress it."""
    begun = time.monotonic()
    image = output / plan.file_name
    present = same_image(plan, image, Digests(store.root / "cache" / "digests").of)
    if present is not None:
        fresh = refreshed(present, verification_facts(role, distro, plan), cloud_facts(plan, revision))
        if fresh != present:
            present = fresh
            manifest.write(image, present)
        if not sbom.sbom_path(image).exists():
            # A build that was cut off between image and bill, or somebody who removed it.
            sbom.write(image, present)
        return Built(image, present, (), True, time.monotonic() - begun)

    layer, built = rootfs.build_layers(plan, inputs, resources, store, task, slot=slot)
    layers_seconds = time.monotonic() - begun
    try:
        with scratch.scratch(output, WORK_PREFIX) as work:
            finished, seconds = make_image(plan, distro, layer.tree, work, task, threads=threads)
            task.update("manifest")
            read = packages.READERS[distro.packages["manager"]]
            installed = read(layer.tree)
            document = manifest.describe(
                plan,
                finished,
                packages=installed,
                package_manager=distro.packages["manager"],
                origins=history.origins(plan, store, installed, read),
                layer_facts=history.layer_facts(plan, store, built),
                contract=verification_facts(role, distro, plan),
                cloud=cloud_facts(plan, revision),
                os_facts=distro.os,
                seconds={"layers": layers_seconds, **seconds},
                version=package_version("mailimg"),
            )
            manifest.write(finished, document)
            sbom.write(finished, document)
            publish(finished, image)
    except OSError as error:
        raise refused(f"make {image.name}", error, output) from error
    store.remember(plan.name, decided(plan))
    return Built(image, document, tuple(built), False, time.monotonic() - begun)


def default_jobs(images: int) -> int:
    """How many images to build at once: one a core, and no more than memory allows."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(images, len(os.sched_getaffinity(0)), memory // JOB_MEMORY_BYTES))


def make_image(
    plan: ImagePlan, distro: Distro, tree: Path, work: Path, task: Task, *, threads: int
) -> tuple[Path, dict[str, float]]:
    """The image file, made in `work`, and how many seconds each stage took."""
    begun = time.monotonic()
    raw = work / "disk.raw"
    task.update("disk")
    disk.assemble(tree, disk_spec(plan, distro), raw, report=lambda text: task.update(f"disk: {text}"))
    disk_done = time.monotonic()
    task.update(f"image: {plan.form}, {plan.compress}")
    finished = work / plan.file_name
    disk.convert(raw, finished, form=plan.form, compress=plan.compress, threads=threads)
    return finished, {"disk": disk_done - begun, "image": time.monotonic() - disk_done}


def publish(finished: Path, image: Path) -> None:
    """Put a finished image in its place; what lies beside an image never speaks of another one."""
    beside = (sbom.sbom_path, manifest.manifest_path)
    for path in beside:
        path(image).unlink(missing_ok=True)
    finished.replace(image)
    for path in beside:
        path(finished).replace(path(image))


def same_image(
    plan: ImagePlan, image: Path, digest: Callable[[Path], str] = digest_file
) -> dict[str, Any] | None:
    """The manifest of the image in place if it is what the plan would build, and its bytes are what it says."""
    if not image.is_file():
        return None
    try:
        document = manifest.read(image)
    except InputError:
        return None
    same = document["identity"] == plan.identity and document["image"]["bytes"] == image.stat().st_size
    return document if same and document["image"]["sha256"] == digest(image) else None


def disk_spec(plan: ImagePlan, distro: Distro) -> disk.DiskSpec:
    """What decides the disk beside the tree."""
    return disk.DiskSpec(
        size_bytes=plan.size_bytes,
        table=distro.disk["table"],
        firmware=tuple(distro.disk["firmware"]),
        features=distro.disk["features"],
        root_uuid=plan.root_uuid,
        disk_uuid=plan.disk_uuid,
        hash_seed=plan.hash_seed,
        epoch=plan.epoch,
        grub=distro.disk["grub"],
        cmdline=distro.kernel["cmdline"],
        kernel=distro.kernel["image"],
        initrd=distro.kernel["initrd"],
    )


def verification_facts(role: Role, distro: Distro, plan: ImagePlan) -> dict[str, Any]:
    """What `mailimg verify` and `mailimg lab` have to know, so that an image can be tried without the role's folder."""
    return {
        "login": distro.login,
        "container": distro.container,
        "firmware": list(distro.disk["firmware"]),
        "min_ram_mib": plan.min_ram_mib,
        "role": role.name,
        "listeners": sorted({*distro.listeners, *role.listeners}),
        "ports": [dict(port) for port in role.ports],
        "parameters": {name: rolejson.offered(one, distro)[0] for name, one in role.parameters.items()},
        "verify": list(role.verify),
    }


def cloud_facts(plan: ImagePlan, revision: str | None) -> dict[str, Any]:
    """What `mailimg upload` has to know beyond the rest of the manifest; none of it decides a byte of the image."""
    return {"min_ram_mib": plan.min_ram_mib, "properties": dict(plan.properties), "revision": revision, "heat": True}


def refreshed(present: Mapping[str, Any], contract: Mapping[str, Any], cloud: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of an image that stays, with what is known now of the things that decide none of its bytes.

    What was tested is forgotten when another contract would be tested now. The revision stays the one that built it,
    unless that was of a checkout with changes and this one has none: the same bytes come out of it.
    """
    known = present.get("cloud", {}).get("revision")
    kept = known if known is not None and not known.endswith(DIRTY) else cloud["revision"] or known
    fresh = {**present, "contract": dict(contract), "cloud": {**cloud, "revision": kept}}
    return fresh if present.get("contract") == contract else {**fresh, "verify": None}


def make_output(output: Path) -> None:
    """Make the folder for images.

    Raises:
        StepError: it cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused("make the output folder", error, output) from error


def check_space(store: Store, output: Path) -> None:
    """Say before the work that it cannot be finished.

    Raises:
        StepError: too little space; names place and need.
    """
    for place, need in ((store.root, NEED_STORE_BYTES), (output, NEED_OUTPUT_BYTES)):
        free = shutil.disk_usage(place).free
        if free < need:
            raise StepError(
                f"{place}: {free / GIB:.1f} GiB free, a build needs {need / GIB:.0f} GiB",
                FULL_HINT,
            )
