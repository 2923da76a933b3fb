"""role.json: role and distribution resolved; what the agent will know."""

from __future__ import annotations

import dataclasses

import pytest

from mailimg import rolejson, roles
from mailimg.errors import InputError
from mailimg.resources import Resources


def test_document(world: Resources) -> None:
    role, distro = roles.load_role(world, "mx"), roles.load_distro(world, "small-1")
    assert rolejson.role_document(role, distro, identity="a" * 64, version="1.2") == {
        "schema": 1,
        "role": "mx",
        "distro": "small-1",
        "identity": "a" * 64,
        "version": "1.2",
        "site": ["domains"],
        "parameters": {
            "workers": {"type": "integer", "minimum": 1, "maximum": 128, "default": 16, "description": "how many"}
        },
        "facts": {"postal": {"unit": "postal.service", "config": "/etc/postal", "socket": "/run/postal.sock"}},
        "services": [{"name": "postal", "unit": "postal.service"}],
        "files": [
            {
                "template": "main.cf.j2",
                "path": "/etc/postal/main.cf",
                "owner": "root",
                "group": "root",
                "mode": "0644",
                "service": "postal",
                "secret": False,
            }
        ],
        "databases": [],
        "ports": [{"name": "smtp", "port": 25, "peers": "internet"}],
        "health": [
            {"check": "smtp", "port": 25, "name": "smtp"},
            {"check": "unix", "path": "/run/postal.sock", "name": "postal"},
        ],
    }


def with_facts(distro: roles.Distro, **facts: object) -> roles.Distro:
    """The distribution with more facts of its daemon `postal`."""
    return dataclasses.replace(distro, daemons={"postal": {**distro.daemons["postal"], **facts}})


def test_a_template_chosen_by_a_fact(world: Resources) -> None:
    role, distro = roles.load_role(world, "mx"), roles.load_distro(world, "small-1")
    role = dataclasses.replace(role, files=({"template": "main.{{ postal.format }}.j2", "path": "/etc/x"},))
    document = rolejson.role_document(role, with_facts(distro, format="cf"), identity="", version="1")
    assert document["files"][0]["template"] == "main.cf.j2"
    with pytest.raises(InputError) as caught:
        rolejson.role_document(role, with_facts(distro, format="ini"), identity="", version="1")
    assert caught.value.problems == (
        "roles/mx/role.yaml: files[0].template: roles/mx/templates/main.ini.j2 does not exist "
        "(elements/distro-small-1/distro.yaml leads there)",)
    with pytest.raises(InputError, match=r"files\[0\]\.template: .* does not resolve"):
        rolejson.role_document(role, distro, identity="", version="1")


def test_a_file_without_a_path_is_not_written(world: Resources) -> None:
    role, distro = roles.load_role(world, "mx"), roles.load_distro(world, "small-1")
    role = dataclasses.replace(role, files=({"template": "main.cf.j2", "path": "{{ postal.mailname }}"},))
    for path, count in (("/etc/mailname", 1), ("", 0)):
        made = rolejson.role_document(role, with_facts(distro, mailname=path), identity="", version="1")
        assert len(made["files"]) == count


def test_values_that_the_distribution_does_not_offer_are_none(world: Resources) -> None:
    role, distro = roles.load_role(world, "mx"), roles.load_distro(world, "small-1")
    search = {"type": "string", "enum": ["a", "b", "none"], "offered": "postal.search", "default": "a"}
    role = dataclasses.replace(role, parameters={"search": search})
    made = rolejson.role_document(role, with_facts(distro, search=["a", "none"]), identity="", version="1")
    assert made["parameters"] == {"search": {"type": "string", "enum": ["a", "none"], "default": "a"}}
    for facts, words in (
        ({}, ".offered: elements/distro-small-1/distro.yaml has no list daemons.postal.search"),
        ({"search": ["b"]}, ".default: 'a' is not in daemons.postal.search of elements/distro-small-1/distro.yaml"),
    ):
        with pytest.raises(InputError) as caught:
            rolejson.role_document(role, with_facts(distro, **facts), identity="", version="1")
        assert caught.value.problems == ("roles/mx/role.yaml: parameters.search" + words,)


def test_what_the_distribution_does_not_describe_is_named_all_at_once(world: Resources) -> None:
    role, distro = roles.load_role(world, "mx"), roles.load_distro(world, "small-1")
    wrong = dataclasses.replace(
        role,
        services=("postal", "spamd"),
        files=(
            {"template": "main.cf.j2", "path": "{{ postal.home }}/x", "service": "postall"},
            {"template": "main.cf.j2", "path": "{{ postal.config }/x"},
        ),
        health=({"check": "unix", "path": "{{ clamd.socket }}", "name": "clamd"},),
    )
    with pytest.raises(InputError) as caught:
        rolejson.role_document(wrong, distro, identity="", version="1")
    starts = (
        "roles/mx/role.yaml: services[1]: elements/distro-small-1/distro.yaml has no daemons.spamd.unit",
        "roles/mx/role.yaml: files[0].service: 'postall' is not among the role's services (did you mean 'postal'?)",
        "roles/mx/role.yaml: files[0].path: '{{ postal.home }}/x' does not resolve with",
        "roles/mx/role.yaml: files[1].path: '{{ postal.config }/x' does not resolve with",
        "roles/mx/role.yaml: health[0].path: '{{ clamd.socket }}' does not resolve with",
    )
    assert len(caught.value.problems) == len(starts)
    for problem, start in zip(caught.value.problems, starts, strict=True):
        assert problem.startswith(start)


def test_what_is_mounted_is_named_by_a_key_that_the_role_needs(world: Resources) -> None:
    role, distro = roles.load_role(world, "mx"), roles.load_distro(world, "small-1")
    mount = {"path": "/MAILBOXES", "site": "domains", "owner": 5000, "group": 5000, "folders": 4096}
    made = rolejson.role_document(dataclasses.replace(role, mount={**mount, "indexes": "{{ postal.config }}/x"}),
                                  distro, identity="", version="1")
    assert made["mount"] == {**mount, "indexes": distro.daemons["postal"]["config"] + "/x"}
    with pytest.raises(InputError) as caught:
        rolejson.role_document(dataclasses.replace(role, mount={**mount, "site": "domain"}), distro, identity="",
                               version="1")
    assert caught.value.problems == (
        "roles/mx/role.yaml: mount.site: 'domain' is not among the role's `site` keys (did you mean 'domains'?)",)
