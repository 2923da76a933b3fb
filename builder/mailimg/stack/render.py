"""The text of the stack: `platform.yaml`, `member.yaml` of a server, `environment.yaml` with what a site must say."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mailimg.stack import access, groups
from mailimg.stack.document import Documents
from mailimg.stack.platform import Balancer, Group, Platform, Port

TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "stack"
PLATFORM, MEMBER, ENVIRONMENT = "platform.yaml", "member.yaml", "environment.yaml"
# A site document to start from.
EXAMPLE = "example.yaml"

# Resources that are secrets in Barbican.
SECRET = re.compile(r"\b((?:\w+_)?credential_)0\b")

# Servers of a group to begin with: one may go while the other serves.
SIZE = 2

# Minutes that a stack may take at least: servers come one layer after the other, and leave so.
MINUTES = 240

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Rendered:
    """The files by their names, the access rules of each role, and the minutes that making or deleting it may take."""

    files: Mapping[str, str]
    rules: Mapping[str, tuple[access.Rule, ...]]
    minutes: int

    @property
    def required(self) -> list[str]:
        """Parameters without a default, in the template's order."""
        parameters = yaml.safe_load(self.files[PLATFORM])["parameters"]
        return [name for name, one in parameters.items() if "default" not in one]


def render(platform: Platform, documents: Documents) -> Rendered:
    """The stack of a platform.

    Args:
        documents: as `document.make` checked them.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False)  # noqa: S701 - YAML, not HTML
    environment.filters.update(key=key, yaml=json.dumps)
    networks = [ipaddress.ip_network(one, strict=False) for one in documents.site.get("networks", ())]
    rules = {group.name: access.rules(documents.texts[group.name]) for group in platform.groups}
    filled = [_group(one, platform, documents.texts[one.name]) for one in platform.groups]
    for group in filled:
        group["site"] = environment.get_template("site.yaml.j2").render(group=group).strip()
    text = environment.get_template("platform.yaml.j2").render(
        domain=(documents.site.get("domains") or ["?"])[0], names=", ".join(group.name for group in platform.groups),
        groups=filled, balancers=[_balancer(one) for one in platform.balancers], networks=networks,
        vip_networks=[one for one in networks if one.version == 4] or networks,
    )
    files = {PLATFORM: text, MEMBER: (TEMPLATES / MEMBER).read_text(encoding="utf-8")}
    # Servers leave one layer after the other, and are given an hour besides.
    minutes = max(MINUTES, 60 + math.ceil(len(filled) * documents.leaving / 60))
    made = Rendered(files, rules, minutes)
    sample = environment.get_template("environment.yaml.j2").render(
        required=[(name, _described(text, name)) for name in made.required if "_credential_" not in name])
    return dataclasses.replace(made, files={**files, ENVIRONMENT: sample})


def tied(files: Mapping[str, str], references: Iterable[str]) -> dict[str, str]:
    """The files with resources that are these secrets.

    Heat refuses to make another secret of a resource ("Update to property external_id ... is not supported"): another
    secret is another resource.
    """
    digest = hashlib.sha256("\n".join(sorted(references)).encode()).hexdigest()[:12]
    return {name: SECRET.sub(rf"\g<1>{digest}", text) for name, text in files.items()}


def key(name: str) -> str:
    """A role's or load balancer's name as part of a resource's."""
    return name.replace("-", "_")


def pool(balancer: str, port: Port) -> str:
    """The resource of a port's pool."""
    return f"{key(balancer)}_{key(port.name)}_pool"


def listener(balancer: str, port: Port) -> str:
    """The resource of a port's listener."""
    return f"{key(balancer)}_{key(port.name)}_listener"


def anchors(group: Group) -> list[str]:
    """The resources that others wait for until a group serves, and before which they leave."""
    name = key(group.name)
    if group.volume:
        return [f"{name}_ready", f"{name}_drain"]
    return [groups.resource(name, side) for side in ((groups.FIRST,) if group.lonely else groups.SIDES)]


def _balancer(one: Balancer) -> dict[str, Any]:
    return {"name": one.name, "key": key(one.name), "public": one.public, "ports": one.ports}


def _group(group: Group, platform: Platform, document: str) -> dict[str, Any]:
    known = {one.name: anchors(one) for one in platform.groups}
    return {
        "name": group.name, "key": key(group.name), "role": group.role, "image": group.image, "volume": group.volume,
        "openings": group.openings, "lonely": group.lonely,
        "document": document.strip(), "waits": [one for name in group.after for one in known[name]],
        "size": 1 if group.lonely else SIZE, "minimum": 1 if group.lonely else SIZE,
        "terminated": any(port.monitor == "HTTPS" for port in group.ports),
        "pools": _pools(group, platform.balancers),
    }


def _pools(group: Group, balancers: Sequence[Balancer]) -> list[tuple[str, str]]:
    return [(port.name, pool(balancer.name, port)) for balancer in balancers for port in balancer.ports
            if port.role == group.name]


def _described(text: str, name: str) -> str:
    return str(yaml.safe_load(text)["parameters"][name].get("description", ""))
