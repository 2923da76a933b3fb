"""What an update leaves as it is because servers run: their groups, image, ports, volume; and what it refuses for that.

A server that Heat replaces loses its ports before it is told to leave, and its volume while that is mounted. So what
would have Heat do that is refused, and members that never served are made anew as a whole (`anew`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mailimg.cloud.images import CloudImage
from mailimg.errors import InputError
from mailimg.stack import groups, pools
from mailimg.stack.groups import Member
from mailimg.stack.heat import Heat, Stack
from mailimg.stack.platform import Group, Platform

SERVER, DEPLOYMENT = "OS::Nova::Server", "OS::Heat::SoftwareDeployment"
# Parameters that are an update's own business only when somebody names them; otherwise they stay.
STAY = ("_serving", "_former_image", "_document_after", "_volume", "_volume_size", "_address",
        "_certificate")
# What all servers have in common, and what Heat would do to those that run.
COMMON = {"key_name": "Heat would replace them", "server_network": "Heat would take their ports"}
# Heat's words for no.
NO = ("f", "false", "n", "no", "off", "0")
# Written on a member that Heat is to make anew.
FAILED = "did not get ready, says mailimg"

HINT = ("`apply` never replaces a server that runs: it would lose its network before it is told to leave, and with it"
        " the mail in its queue (docs/stack.md, \"What stays, and what does not\").")
WHOLE = ("An update is the whole platform: name all its layers, or none for all (--role). A layer is not taken out of a"
         " stack: make another stack without it, then delete this one.")


def kept(before: Mapping[str, Any], resources: Sequence[Mapping[str, Any]], known: Iterable[str]) -> dict[str, Any]:
    """What stays as rolls, alarms and earlier updates have made it, unless somebody says otherwise.

    Args:
        before: parameters that the stack has.
        resources: of the stack.
        known: parameters of the template.
    """
    sizes = groups.sizes(resources, before, broken=True)
    found: dict[str, Any] = {name: count for name, count in sizes.items() if count}
    found.update((name, value) for name, value in before.items() if name.endswith(STAY) or name == "key_name")
    return {name: value for name, value in found.items() if name in known}


def running(key: str, resources: Sequence[Mapping[str, Any]], *, failed: bool = False) -> list[str]:
    """When each server of a role was made, by Heat's clock.

    Args:
        key: the role as part of a name.
        resources: of the stack.
        failed: also of those that did not get ready.
    """
    found = [(one.created, one.status) for one in groups.members(resources)
             if groups.key_of(one.group) == key and one.server]
    found += [(str(one.get("creation_time") or ""), one["resource_status"]) for one in resources
              if one["place"] == f"{key}_server" and one["physical_resource_id"]]
    return [created for created, status in found if failed or status != "CREATE_FAILED"]


def refuse(platform: Platform, template: Mapping[str, Any], given: Mapping[str, Any], stack: Stack,
           resources: Sequence[Mapping[str, Any]], images: Sequence[CloudImage]) -> dict[str, Any]:
    """Refuse what would cost servers that run; returns parameters of theirs that stay, whatever was given for them.

    Args:
        template: what the stack is to become.
        given: parameters that somebody names.
        images: of ours, to tell whether two names are of one image.

    Raises:
        InputError: all of it.
    """
    there = [group for group in platform.groups if running(key(group), resources)]
    lost = missing(template["resources"], resources)
    problems = [f"stack {stack.name} has servers of {role}, and this platform has none" for role in lost]
    hint = WHOLE if lost else ""
    stay: dict[str, Any] = {}
    for name, what in COMMON.items() if there else ():
        problems += _changed(name, given, stack, f"{what}. It stays until another stack is made", stay)
    problems += [f"parameter {name}: who ends TLS stays: Heat would make another listener on a port that has one"
                 for name in given if name.endswith("_certificate") and name in stack.parameters
                 and bool(given[name]) != bool(stack.parameters[name])]
    if there and str(given.get("wait_for_leave")).lower() in NO and running_drains(resources):
        problems.append("parameter wait_for_leave: Heat would tell every server that runs to leave")
    for group in there:
        problems += _image(group, given, stack, images, stay)
        for name in (f"{key(group)}_serving", f"{key(group)}_former_image"):
            problems += _changed(name, given, stack, "that is for `mailimg stack roll` to change", stay)
        if group.volume:
            problems += _changed(f"{key(group)}_address", given, stack, "Heat would take its port", stay)
            problems += _volume(group, given, stack, resources, stay)
    if problems:
        raise InputError(problems, "\n".join(filter(None, (hint, HINT if len(problems) > len(lost) else ""))))
    return stay


def running_drains(resources: Sequence[Mapping[str, Any]]) -> bool:
    """Whether servers wait for an order to leave, which is what Heat gives when the resource goes."""
    return any(one["resource_type"] == DEPLOYMENT for one in resources)


def missing(wanted: Collection[str], resources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Roles, as part of a name, that have servers in groups which a template no longer has.

    Args:
        wanted: resources of the template.
        resources: of the stack.
    """
    homes = [one.group for one in groups.members(resources) if one.server and not one.left]
    homes += [str(one["place"]) for one in resources
              if one["resource_type"] == SERVER and one["physical_resource_id"] and "/" not in one["place"]]
    gone = dict.fromkeys(home for home in homes if home not in wanted)
    return list(dict.fromkeys(groups.key_of(home).removesuffix("_server").replace("_", "-") for home in gone))


def anew(heat: Heat, resources: Sequence[Mapping[str, Any]], members: Iterable[Member]) -> list[Member]:
    """Have Heat make members anew that did not get ready and that no pool has.

    Otherwise it would wait once more for the same server, which has said already that it failed.

    Args:
        resources: of the stack.
        members: that may be meant.
    """
    ready = {str(one["place"]) for one in resources
             if one["resource_name"] == "ready" and one["resource_status"].endswith("_COMPLETE")}
    failed = [one for one in members if one.failed and not one.left and not one.status.startswith("DELETE")
              and f"{one.place}/ready" not in ready]
    served = pools.states(heat.cloud, resources, [one.server for one in failed if one.server]) if failed else {}
    found = [one for one in failed if not served.get(one.server)]
    for one in found:
        heat.mark(one.path, FAILED)
    return found


def resized(before: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Whether an update gives servers another flavor, for which Nova restarts them."""
    return any(name.endswith("_flavor") and str(value) != str(parameters.get(name)) for name, value in before.items())


def key(group: Group) -> str:
    """A role as part of a name."""
    return group.name.replace("-", "_")


def same(images: Sequence[CloudImage], one: str, other: str) -> bool:
    """Whether two words, ids or names, mean one image."""
    def ids(word: str) -> set[str]:
        return {image.id for image in images if word in (image.id, image.name)} | {word}

    return bool(ids(one) & ids(other))


def way(group: Group) -> str:
    """How a role that cannot be rolled gets what only new servers have."""
    if group.volume:
        return ("it is one server with data, which is not rolled: `mailimg stack delete`, which keeps the volume, then"
                f" `mailimg stack apply --parameter {key(group)}_volume=ID`")
    return (f"it is one server with a {group.lonely} of its own, which is not rolled: save that, then `mailimg stack"
            f" delete` and `apply`; or have a database elsewhere first (`database` in the site document)")


def _image(group: Group, given: Mapping[str, Any], stack: Stack, images: Sequence[CloudImage],
           stay: dict[str, Any]) -> list[str]:
    name = f"{key(group)}_image"
    before = stack.parameters.get(name)
    if name not in given or before is None:
        return []
    if same(images, str(given[name]), str(before)):
        stay[name] = before
        return []
    how = (way(group) if group.volume or group.lonely
           else f"`mailimg stack roll --role {group.name} --image {given[name]}`")
    return [f"parameter {name}: servers of {group.name} run, with {before}: {how}"]


def _volume(group: Group, given: Mapping[str, Any], stack: Stack, resources: Sequence[Mapping[str, Any]],
            stay: dict[str, Any]) -> list[str]:
    name = f"{key(group)}_volume"
    held = next((str(one["physical_resource_id"]) for one in resources if one["physical_resource_id"]
                 and one["place"] == f"{key(group)}_new_volume"), "")
    if held and given.get(name) == held:
        # The one that the stack has made itself.
        stay[name] = stack.parameters.get(name, "")
        return []
    words = f"its mailboxes are on {held or stack.parameters.get(name)}, and Heat would take that while it is mounted"
    return _changed(name, given, stack, f"{words}; {way(group)}", stay)


def _changed(name: str, given: Mapping[str, Any], stack: Stack, why: str, stay: dict[str, Any]) -> list[str]:
    before = str(stack.parameters.get(name, ""))
    if name not in given:
        return []
    if str(given[name]) == before:
        stay[name] = before
        return []
    return [f"parameter {name}: servers run with {before!r}, not {str(given[name])!r}: {why}"]
