"""The worked examples of the roles, rendered by the agent's own renderer through role.json as in an image."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from mailimg import resources, rolejson, roles
from mailimg_firstboot import node, rendering, rolefile, secret, site
from mailimg_firstboot.rendering import RenderedFile

RESOURCES = resources.installed()
HOSTNAME = "node-1"
INSTANCE = "11111111-2222-4333-8444-555555555555"


def render(
    role_name: str, distro_name: str, facts: Mapping[str, Mapping[str, object]] | None = None
) -> list[RenderedFile]:
    """The files of a role's example on a distribution.

    Args:
        facts: daemon facts that take the place of the distribution's own, by daemon and name.
    """
    known = role_file(role_name, distro_name, facts)
    folder = roles.load_role(RESOURCES, role_name).folder
    example = folder / "example" / "site.yaml"
    checked = site.load(site.parse(example.read_bytes(), str(example)), known)
    resolved = secret.resolve(checked, lambda path: Path(path).read_bytes()).site
    here = node.make(HOSTNAME, INSTANCE, resolved, known)
    return rendering.render_all(known, resolved, here, str(folder / "templates"))


def role_file(
    role_name: str, distro_name: str, facts: Mapping[str, Mapping[str, object]] | None = None
) -> rolefile.RoleFile:
    """role.json as the agent has read it; `facts` as for `render`."""
    role, distro = roles.load_role(RESOURCES, role_name), roles.load_distro(RESOURCES, distro_name)
    daemons = {name: {**own, **(facts or {}).get(name, {})} for name, own in distro.daemons.items()}
    distro = dataclasses.replace(distro, daemons=daemons)
    document = rolejson.role_document(role, distro, identity="0" * 64, version="0")
    return rolefile.load(json.dumps(document).encode())
