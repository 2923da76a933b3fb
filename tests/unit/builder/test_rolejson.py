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
