"""Roles, distributions and images: found by listing, checked whole."""

from __future__ import annotations

import pytest
from world import edit

from mailimg import gather, roles
from mailimg.errors import InputError
from mailimg.resources import Resources, installed


def test_units_are_found_by_listing(world: Resources) -> None:
    (world.roles / "notes").mkdir()
    assert roles.role_names(world) == ["mx", "out"]
    assert roles.distro_names(world) == ["small-1"]


def test_values_of_a_role(world: Resources) -> None:
    role = roles.load_role(world, "mx")
    assert [(layer.name, layer.elements) for layer in role.layers] == [("base", ("common",)), ("mx", ("postal",))]
    assert role.listeners == (25,)
    assert role.parameters["workers"]["default"] == 16
    assert role.shown == "roles/mx/role.yaml"
    assert roles.load_role(world, "out").parameters == {}


def test_values_of_a_distribution_and_an_image(world: Resources) -> None:
    distro = roles.load_distro(world, "small-1")
    assert (distro.element, distro.login) == ("distro-small-1", "small")
    assert distro.kernel == {"cmdline": "console=ttyS0", "image": "/vmlinuz", "initrd": "/initrd.img"}
    image = roles.load_image(world, "out")
    assert (image.disk_gib, image.min_ram_mib) == (4, 1024)


def test_unknown_role_names_the_nearest_and_all(world: Resources) -> None:
    with pytest.raises(InputError) as caught:
        roles.load_role(world, "mxx")
    assert caught.value.problems == ("unknown role 'mxx' (did you mean 'mx'?)",)
    assert caught.value.hint == "Roles: mx, out (`mailimg list`)."


def test_unknown_distribution_says_what_there_is(world: Resources) -> None:
    with pytest.raises(InputError) as caught:
        roles.load_distro(world, "centos-7")
    assert caught.value.problems == ("distribution 'centos-7' has no element in this release",)
    assert caught.value.hint == "Choose one with --distro: small-1 (`mailimg list`)."


def test_folder_decides_the_name(world: Resources) -> None:
    edit(world.roles / "mx" / "role.yaml", "role: mx", "role: out")
    edit(world.images / "out.yaml", "role: out", "role: mx")
    edit(world.elements / "distro-small-1" / "distro.yaml", "distro: small-1", "distro: small-2")
    with pytest.raises(InputError, match=r"roles/mx/role\.yaml: role: is 'out', but the folder is called 'mx'"):
        roles.load_role(world, "mx")
    with pytest.raises(InputError, match=r"images/out\.yaml: role: is 'mx', but the file is called 'out'"):
        roles.load_image(world, "out")
    with pytest.raises(InputError, match=r"distro\.yaml: distro: is 'small-2', but the folder says 'small-1'"):
        roles.load_distro(world, "small-1")


def test_templates_and_defaults_are_checked_together(world: Resources) -> None:
    edit(world.roles / "mx" / "role.yaml", "main.cf.j2", "main.conf.j2")
    edit(world.roles / "mx" / "role.yaml", "default: 16", "default: 500")
    with pytest.raises(InputError) as caught:
        roles.load_role(world, "mx")
    assert caught.value.problems == (
        "roles/mx/role.yaml: files[0].template: roles/mx/templates/main.conf.j2 does not exist",
        "roles/mx/role.yaml: parameters.workers.default: 500 is greater than the maximum of 128",
    )


def test_load_gathers_the_problems_of_all_files(world: Resources) -> None:
    edit(world.roles / "mx" / "role.yaml", "services: [postal]", "services: [postall]")
    edit(world.roles / "mx" / "role.yaml", "elements: [postal]", "elements: [postel]")
    edit(world.roles / "out" / "role.yaml", "listeners: []", "listeners: [ssh]")
    edit(world.images / "mx.yaml", "disk_gib: 8", "disk_gib: eight")
    edit(world.images / "out.yaml", "min_ram_mib: 1024", "min_ram_mib: 1")
    with pytest.raises(InputError) as caught:
        gather.load(world, ["mx", "out", "nfs"], "small-1")
    found = "\n".join(caught.value.problems)
    for words in (
        "roles/mx/role.yaml: services[0]: elements/distro-small-1/distro.yaml has no daemons.postall.unit (did",
        "roles/mx/role.yaml: files[0].service: 'postal' is not among the role's services (did you mean 'postall'?)",
        "elements distro-small-1, postel: Element 'postel' not found",
        "roles/out/role.yaml: listeners[0]: 'ssh' is not of type 'integer'",
        "images/mx.yaml: disk_gib: 'eight' is not of type 'integer'",
        "images/out.yaml: min_ram_mib: 1 is less than the minimum of 256",
        "unknown role 'nfs'",
    ):
        assert words in found
    assert len(caught.value.problems) == 7
    assert caught.value.hint.splitlines() == ["`mailimg list` shows the elements.", "Roles: mx, out (`mailimg list`)."]


def test_problem_of_a_shared_layer_is_said_once(world: Resources) -> None:
    (world.elements / "common" / "element-deps").write_text("nowhere\n")
    with pytest.raises(InputError) as caught:
        gather.load(world, ["mx", "out"], "small-1")
    found = [problem for problem in caught.value.problems if problem.startswith("elements distro-small-1, common:")]
    assert found == ["elements distro-small-1, common: Element 'nowhere' not found"]


def test_load_returns_what_was_asked_for_in_that_order(world: Resources) -> None:
    pairs, distro = gather.load(world, ["out", "mx"], "small-1")
    assert [(role.name, image.role) for role, image in pairs] == [("out", "out"), ("mx", "mx")]
    assert distro.name == "small-1"


def test_everything_that_ships_is_valid() -> None:
    resources = installed()
    names = roles.role_names(resources)
    assert "smtp-in" in names
    for distro in roles.distro_names(resources):
        pairs, _ = gather.load(resources, names, distro)
        assert len(pairs) == len(names)
