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
    role, distro = roles.load_role(RESOURCES, role_name), roles.load_distro(RESOURCES, distro_name)
    daemons = {name: {**own, **(facts or {}).get(name, {})} for name, own in distro.daemons.items()}
    distro = dataclasses.replace(distro, daemons=daemons)
    document = rolejson.role_document(role, distro, identity="0" * 64, version="0")
    role_file = rolefile.load(json.dumps(document).encode())
    example = role.folder / "example" / "site.yaml"
    checked = site.load(site.parse(example.read_bytes(), str(example)), role_file)
    resolved = secret.resolve(checked, lambda path: Path(path).read_bytes()).site
    here = node.make(HOSTNAME, INSTANCE, resolved, role_file)
    return rendering.render_all(role_file, resolved, here, str(role.folder / "templates"))
