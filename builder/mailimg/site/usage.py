"""Which keys of the site document a role has a use for, found in role.yaml and the templates themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from jinja2 import Environment, nodes

from mailimg.roles import Role
from mailimg.site.keys import Key


def used(role: Role) -> frozenset[str]:
    """Dotted keys that a role names: as needs, in its templates, as a condition of services, files and health checks.

    A key stands for all below it.
    """
    found = {*role.site, *role.uses}
    found |= {key for condition in role.optional.values() for key in condition.values()}
    found |= {str(check["site"]) for check in role.health if "site" in check}
    if role.volume is not None:
        found.add("volume")
    # Any other field of role.yaml that names a key has a dot in it: files' `each`, the address of a layer.
    document = yaml.safe_load((role.folder / "role.yaml").read_text(encoding="utf-8"))
    found |= {text for text in _texts(document) if "." in text and " " not in text and "{" not in text}
    environment = Environment(autoescape=False)  # noqa: S701 - nothing is rendered
    for template in sorted((role.folder / "templates").glob("*.j2")):
        found |= set(_named(environment.parse(template.read_text(encoding="utf-8"))))
    return frozenset(found)


def needed(key: Key, role: Role) -> bool:
    """Whether the role cannot serve without the key: it names it, or something below it."""
    return any(one == key.path or one.startswith(key.path + ".") for one in role.site)


def relevant(key: Key, role: Role, usage: Mapping[str, frozenset[str]]) -> bool:
    """Whether a key does something on the role's instances.

    What no role names is the agent's own (time servers, say), which it does on all.

    Args:
        usage: `used` of every role, by its name.
    """
    return _names(usage[role.name], key) or not any(_names(one, key) for one in usage.values())


def _names(found: frozenset[str], key: Key) -> bool:
    path = key.path.replace("[]", "")
    return any(one == path or one.startswith(path + ".") or path.startswith(one + ".") for one in found)


def _named(node: nodes.Node) -> Iterator[str]:
    """Keys of `site` that a template names, each as far down as it goes."""
    path = _path(node)
    if path.startswith("site."):
        yield path.removeprefix("site.")
        return
    for child in node.iter_child_nodes():
        yield from _named(child)


def _path(node: nodes.Node) -> str:
    """`site.a.b` of nested attributes, nothing for anything else."""
    if isinstance(node, nodes.Getattr):
        above = _path(node.node)
        return f"{above}.{node.attr}" if above else ""
    return str(node.name) if isinstance(node, nodes.Name) else ""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)
