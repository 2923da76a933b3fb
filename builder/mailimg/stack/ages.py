"""Which servers have an earlier site document than the one that new servers get.

A server keeps the document that it was made with. Heat does not say which that was: what it shows of a server is what
the last update has said. So the stack's parameter `<role>_document_after` says when, by Heat's own clock, the last
server was made before the document changed: those that came later have the present one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.stack import keep
from mailimg.stack.platform import Group, Platform

SUFFIX = "_document_after"
SECRET = "%credential-secret%"  # noqa: S105 - a place


def site_of(template: Mapping[str, Any], group: Group) -> Any:
    """The document of a role in a template, and what Heat fills in; None: it has none of that role."""
    one = keep.key(group)
    found: Any = template.get("resources") or {}
    path = ((f"{one}_site_document", "properties", "config") if group.volume else
            (f"{one}_group", "properties", "resource", "properties", "site"))
    for name in path:
        found = (found or {}).get(name)
    if not isinstance(found, Mapping):
        return None
    filled = found["str_replace"]
    # What the secret's resource is called says nothing of the document; whose secret it is, the credential's id does.
    return filled["template"], {name: value for name, value in filled["params"].items() if name != SECRET}


def changed(platform: Platform, before: Mapping[str, Any], now: Mapping[str, Any], parameters: Mapping[str, Any],
            later: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The parameter of each role whose document an update changes.

    Args:
        before: template that the stack has.
        now: that it is to have.
        parameters: of the stack, as `later` are after the update.
        resources: of the stack.
    """
    found: dict[str, str] = {}
    for group in platform.groups:
        credential = f"{keep.key(group)}_credential_id"
        if (site_of(before, group), parameters.get(credential)) != (site_of(now, group), later.get(credential)):
            found[keep.key(group) + SUFFIX] = max(
                keep.running(keep.key(group), resources, failed=True), default="")
    return found


def earlier(one: str, parameters: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> int:
    """How many servers of a role have an earlier document.

    Args:
        one: the role as part of a name.
    """
    return sum(time <= str(parameters.get(one + SUFFIX, "")) for time in keep.running(one, resources))


def words(platform: Platform, parameters: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each role whose servers have an earlier document: that they keep it, and how it gets the present one."""
    found = []
    for group in platform.groups:
        count = earlier(keep.key(group), parameters, resources)
        alone = group.volume or group.lonely
        if count and alone:
            found.append(f"{group.name}: its server keeps the document that it was made with until it is made anew:"
                         f" {keep.way(group)}")
        elif count:
            found.append(f"{group.name}: {count} of its servers keep the document that they were made with:"
                         f" `mailimg stack roll --role {group.name} --again`")
    return found
