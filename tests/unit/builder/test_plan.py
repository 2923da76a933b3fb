"""The plan: the same inputs give the same identities, and each input changes what stands above it and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from world import SOURCES, edit

from mailimg import gather
from mailimg.plan import ImagePlan, shared_layers
from mailimg.resources import Resources
from mailimg.sources import Measured, Share

ALL = {"distribution", "base", "mx", "role", "image"}


def measured(world: Resources, role: str = "mx", **more: object) -> ImagePlan:
    """The plan of a role; `more` replaces measured inputs, or the format and compression."""
    pairs, distro = gather.load(world, [role], "small-1")
    inputs = gather.measure(world, pairs, distro, SOURCES, index=False)
    form, compress = more.pop("form", "qcow2"), more.pop("compress", "zlib")
    inputs = dataclasses.replace(inputs, **more)  # type: ignore[arg-type]
    return gather.plans(pairs, distro, inputs, form=str(form), compress=str(compress))[0]


def changed(before: ImagePlan, after: ImagePlan) -> set[str]:
    """Names of the layers whose identity changed, and `image`."""
    names = {
        old.name for old, new in zip(before.layers, after.layers, strict=True) if old.identity != new.identity
    }
    return names | ({"image"} if before.identity != after.identity else set())


def test_layers_of_a_role(world: Resources) -> None:
    plan = measured(world)
    assert [(layer.name, layer.elements, layer.role) for layer in plan.layers] == [
        ("distribution", ("distro-small-1",), None),
        ("base", ("distro-small-1", "common"), None),
        ("mx", ("distro-small-1", "postal"), None),
        ("role", ("distro-small-1", "mailimg-agent", "mailimg-role"), "mx"),
    ]
    assert [layer.parent for layer in plan.layers] == [None, *(layer.identity for layer in plan.layers[:-1])]
    assert plan.file_name == "mx-small-1.qcow2"
    assert (plan.size_bytes, plan.min_ram_mib) == (8 * 1024**3, 2048)
    assert len({plan.root_uuid, plan.disk_uuid, plan.hash_seed}) == 3


def test_same_inputs_same_plan(world: Resources) -> None:
    assert measured(world) == measured(world)


def test_inputs_of_a_layer_are_named(world: Resources) -> None:
    plan = measured(world)
    assert set(plan.layers[2].inputs) == {
        "element common",
        "element distro-small-1",
        "element postal",
        "environment MAILIMG_APT_CONF",
        "environment MAILIMG_APT_SOURCES",
        "epoch",
        "package index",
        "program diskimage-builder",
        "program mailimg layers",
        "program mmdebstrap",
    }
    assert set(plan.layers[3].inputs) - set(plan.layers[2].inputs) == {
        "agent", "role.json", "templates", "element mailimg-agent", "element mailimg-role",
    }  # fmt: skip
    assert plan.layers[0].inputs["package index"] == "unknown"


def test_roles_share_layers_until_they_differ(world: Resources) -> None:
    mx, out = measured(world, "mx"), measured(world, "out")
    users = shared_layers([mx, out])
    assert [users[layer.identity] for layer in mx.layers] == [["mx", "out"], ["mx", "out"], ["mx"], ["mx"]]
    assert mx.identity != out.identity


def rewrite(name: str, old: str, new: str) -> Callable[[Resources], None]:
    return lambda world: edit(world.elements.parent / name, old, new)


def script(name: str) -> Callable[[Resources], None]:
    return rewrite(name, "#!/bin/bash\n", "#!/bin/bash\necho more\n")


ABOVE = {"mx", "role", "image"}


def packages(by_element: dict[str, Share] | None = None, **environment: str) -> dict[str, Measured]:
    return {"packages": Measured(Share({**SOURCES.environment(), **environment}), by_element or {})}


FILES = {
    "distribution's hook": (script("elements/distro-small-1/root.d/10-distro-small-1"), ALL),
    "shared element": (script("elements/common/install.d/50-common"), ALL - {"distribution"}),
    "element of the role": (script("elements/postal/install.d/50-postal"), {"mx", "role", "image"}),
    "element of the last layer": (script("elements/mailimg-role/install.d/60-mailimg-role"), {"role", "image"}),
    "agent": (rewrite("firstboot/mailimg_firstboot/cli.py", "pass", "pass  # more"), {"role", "image"}),
    "template": (rewrite("roles/mx/templates/main.cf.j2", "=", "= "), {"role", "image"}),
    "parameter": (rewrite("roles/mx/role.yaml", "default: 16", "default: 8"), {"role", "image"}),
    "file mode": (rewrite("roles/mx/role.yaml", "{template", '{mode: "0600", template'), {"role", "image"}),
    "daemon fact": (rewrite("elements/distro-small-1/distro.yaml", "/etc/postal", "/opt/postal"), {"role", "image"}),
    "kernel arguments": (rewrite("elements/distro-small-1/distro.yaml", "ttyS0", "ttyS1"), {"image"}),
    "file system features": (rewrite("elements/distro-small-1/distro.yaml", "orphan_file", "64bit"), {"image"}),
    "disk size": (rewrite("images/mx.yaml", "disk_gib: 8", "disk_gib: 9"), {"image"}),
    "memory": (rewrite("images/mx.yaml", "2048", "4096"), set()),
    "listeners": (rewrite("roles/mx/role.yaml", "listeners: [25]", "listeners: [25, 26]"), set()),
    "summary": (rewrite("roles/mx/role.yaml", "takes mail", "takes all mail"), set()),
    "README": (rewrite("elements/distro-small-1/README.rst", "A", "The"), set()),
    "another role": (rewrite("roles/out/role.yaml", "site: []", "site: [domains]"), set()),
    "another role's template": (rewrite("roles/out/templates/empty.j2", "", "x"), set()),
}


@pytest.mark.parametrize(("change", "expected"), FILES.values(), ids=FILES)
def test_changed_file(world: Resources, change: Callable[[Resources], None], expected: set[str]) -> None:
    before = measured(world)
    change(world)
    assert changed(before, measured(world)) == expected


def test_executable_bit_of_a_hook_counts(world: Resources) -> None:
    before = measured(world)
    (world.elements / "postal" / "install.d" / "50-postal").chmod(0o644)
    assert changed(before, measured(world)) == {"mx", "role", "image"}


MEASURED: dict[str, tuple[dict[str, object], set[str]]] = {
    "package index": ({"packages": Measured(Share(SOURCES.environment(), "f" * 64))}, ALL),
    "mirror": (packages(MAILIMG_APT_SOURCES="deb http://example.org/ a b"), ALL),
    "apt settings": (packages(MAILIMG_APT_CONF=""), ALL),
    "date of the index": ({"packages": Measured(Share(SOURCES.environment()), epoch=1_700_000_000)}, ALL),
    "a repository for one element": (packages({"postal": Share({"MAILIMG_YUM_REPOSITORY_P": "[p]"})}), ABOVE),
    "that repository's index": (packages({"postal": Share({}, "f" * 64)}), ABOVE),
    "a repository for an element of nobody": (packages({"other": Share({"MAILIMG_YUM_REPOSITORY_P": "[p]"})}), set()),
    "format": ({"form": "raw"}, {"image"}),
    "compression": ({"compress": "zstd"}, {"image"}),
}


@pytest.mark.parametrize(("more", "expected"), MEASURED.values(), ids=MEASURED)
def test_changed_measurement(world: Resources, more: dict[str, object], expected: set[str]) -> None:
    assert changed(measured(world), measured(world, **more)) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("diskimage-builder", ALL),
        ("mmdebstrap", ALL),
        ("mailimg layers", ALL),
        ("mailimg disk", {"image"}),
        ("mke2fs", {"image"}),
        ("grub-mkimage", {"image"}),
        ("qemu-img", {"image"}),
        ("zlib-ng", {"image"}),
    ],
)
def test_changed_program(world: Resources, program: str, expected: set[str]) -> None:
    pairs, distro = gather.load(world, ["mx"], "small-1")
    known = gather.measure(world, pairs, distro, SOURCES, index=False).programs
    assert program in known
    assert changed(measured(world), measured(world, programs={**known, program: "another"})) == expected


def test_no_program_is_left_out_of_the_table_above(world: Resources) -> None:
    pairs, distro = gather.load(world, ["mx"], "small-1")
    marks = [mark for mark in test_changed_program.pytestmark if mark.name == "parametrize"]
    tested = {case[0] for case in marks[0].args[1]}
    assert set(gather.measure(world, pairs, distro, SOURCES, index=False).programs) == tested


def test_own_code_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = gather.own_code()
    for names in gather.CODE.values():
        for name in names:
            (tmp_path / name).write_bytes((Path(gather.__file__).with_name(name)).read_bytes())
    monkeypatch.setattr(gather, "__file__", str(tmp_path / "gather.py"))
    assert gather.own_code() == before
    (tmp_path / "disk.py").write_text("# edited\n")
    assert {name for name, value in gather.own_code().items() if value != before[name]} == {"mailimg disk"}
