"""A rendered platform into a cloud: what it still needs to know, made or changed, watched until it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mailimg import documents
from mailimg.cloud.connection import Cloud
from mailimg.cloud.glance import Glance
from mailimg.cloud.images import HEAT, CloudImage, current
from mailimg.errors import InputError, Problems, StepError
from mailimg.stack import ages, groups, keep, pools, render
from mailimg.stack.credentials import Credential, Credentials
from mailimg.stack.heat import Heat, Stack, at_rest, settled
from mailimg.stack.platform import Platform
from mailimg.stack.render import Rendered

NEEDED = {"orchestration": "Heat", "load-balancer": "Octavia", "key-manager": "Barbican", "compute": "Nova",
          "network": "Neutron", "image": "Glance"}
# By the type that Heat itself looks for; a catalogue that says block-storage instead is understood, too.
FOR_VOLUMES = {"volumev3": "Cinder"}
# What is left of an environment that nobody filled in.
BLANK = "..."
# Of a server of a group it is `smtp_in_group/x7k2/ready`.
STORAGE_READY = re.compile("[^/]+_ready")
# The resource whose deletion waits until a server has left.
DRAIN = re.compile(r"(^|[/_])drain$")


@dataclass(frozen=True)
class Wanted:
    """What `apply` is asked for.

    Args:
        given: parameters of the template that the operator names.
        channel: images of which channel new groups boot.
    """

    name: str
    platform: Platform
    rendered: Rendered
    given: Mapping[str, Any]
    channel: str


def parameters_of(path: Path) -> dict[str, Any]:
    """The parameters of an environment file.

    Raises:
        InputError: it is none.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), documents.UniqueKeys)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([f"{path}: cannot be read: {documents.reason(error)}"]) from error
    except yaml.YAMLError as error:
        raise InputError([f"{path}: {documents.yaml_words(error)}"]) from error
    if not isinstance(found, dict) or not isinstance(found.get("parameters"), dict):
        raise InputError([f"{path}: is no environment: `parameters:` with names and values is expected"])
    strange = [f"{path}: {key}: only `parameters` is read here" for key in found if key != "parameters"]
    if strange:
        raise InputError(strange)
    return dict(found["parameters"])


def misfits(rendered: Rendered, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with parameters, before a cloud is asked: unknown, missing or not filled in."""
    known = yaml.safe_load(rendered.files[render.PLATFORM])["parameters"]
    problems = [f"parameter {name!r}: the template has none of that name{documents.nearest(name, known)}"
                for name in given if name not in known]
    problems += [f"parameter {name}: is missing: {known[name].get('description', '')}" for name in rendered.required
                 if "_credential_" not in name and name not in given]
    problems += [f"parameter {name}: is not filled in" for name, value in given.items() if value == BLANK]
    return problems


def apply(cloud: Cloud, wanted: Wanted, say: Callable[[str], None]) -> Stack:
    """Create or update the stack, and wait.

    Args:
        say: is told what happens, a line each.

    Raises:
        InputError: images or services that are not there, all of them.
        StepError: the stack is busy, or failed; with the resource and Heat's reason.
    """
    heat, files = Heat(cloud), {render.MEMBER: wanted.rendered.files[render.MEMBER]}
    template = wanted.rendered.files[render.PLATFORM]
    before = heat.find(wanted.name)
    settled(before, "apply")
    if before is not None and before.status.startswith("DELETE_"):
        raise StepError(f"apply: stack {wanted.name} is {before.status}: it is on its way out",
                        f"Finish that with `mailimg stack delete --name {wanted.name}`, then apply.")
    needs(cloud, wanted.platform)
    images, problems = Glance(cloud).ours(), Problems()
    resources = [] if before is None else heat.resources(before)
    content = yaml.safe_load(template)
    stay: dict[str, Any] = {}
    if before is not None:
        at_rest(heat, before, resources, "mailimg stack apply")
        stay = problems.of(lambda: keep.refuse(wanted.platform, content, wanted.given, before, resources, images)) or {}
    chosen = problems.of(lambda: _chosen(cloud, wanted, before, images, say)) or {}
    problems.stop()
    known = content["parameters"]
    old = {} if before is None else keep.kept(before.parameters, resources, known)
    parameters = {**old, **chosen, **wanted.given, **stay}
    for name in known:
        if name.endswith("_former_image"):
            # Of a group without servers; Heat wants one that is there.
            parameters.setdefault(name, parameters[name.replace("_former_image", "_image")])
    keeper = Credentials(cloud, wanted.name)
    named = [name for name in wanted.rendered.required if "_credential_" in name]
    # First with words in their places: what Heat does not like costs no credential.
    heat.validate(template, files, {**parameters, **dict.fromkeys(named, "unknown")})
    seen = [] if before is None else [one["id"] for one in heat.events(before)]
    try:
        made = {role: keeper.ensure(role, rules) for role, rules in wanted.rendered.rules.items()}
        parameters.update(_named(made))
        tied = render.tied({render.PLATFORM: template, **files}, (one.reference for one in made.values()))
        template, files = tied.pop(render.PLATFORM), tied
        if before is None:
            heat.preview(wanted.name, template, files, parameters)
            heat.create(wanted.name, template, files, parameters, wanted.rendered.minutes)
        else:
            parameters.update(ages.changed(wanted.platform, heat.template(before), content, before.parameters,
                                           parameters, resources))
            lost = keep.anew(heat, resources, groups.members(resources))
            for one in lost:
                say(f"{one.place}: did not get ready: is made anew")
            if keep.resized(before.parameters, parameters):
                parameters.setdefault("update_batch", max(1, len(lost)))
            heat.update(before, template, files, parameters, wanted.rendered.minutes)
    except BaseException:
        if before is None:
            _take_back(heat, keeper, wanted.name, say)
        raise
    stack = before or heat.find(wanted.name)
    if stack is None:
        raise StepError(f"apply: stack {wanted.name} is gone as soon as it was made")
    after = heat.follow(stack, seen, say)
    if after is None or after.failed:
        raise failed(heat, after, wanted.name)
    set_idle(cloud, heat, after, wanted.platform)
    told = ages.words(wanted.platform, after.parameters, heat.resources(after))
    for line in told:
        say(line)
    # Servers with an earlier document may have an earlier credential, without which they could not even leave.
    for name in () if told else keeper.drop(keep=made):
        say(f"{name}: deleted, nobody has it any more")
    return after


def _take_back(heat: Heat, keeper: Credentials, name: str, say: Callable[[str], None]) -> None:
    """Delete credentials of a stack that was not made, which nobody has; or say that they are left."""
    try:
        # Heat may have taken the order all the same, and only its answer was lost.
        if heat.find(name) is None:
            keeper.drop()
        else:
            say(f"stack {name} is there all the same: `mailimg stack status --name {name}` says how far it is")
    except StepError as error:
        say(f"warning: application credentials {keeper.prefix}* and their secrets may be left: {error.message}."
            f" `mailimg stack delete --name {name}` removes them")


def failed(heat: Heat, stack: Stack | None, name: str) -> StepError:
    """The error for a stack that did not get there."""
    if stack is None:
        return StepError(f"stack {name}: was deleted meanwhile")
    found = heat.failures(stack)
    tail = [f"{one.place}  {one.status}: {one.reason}" for one in found]
    first = f"{found[0].place}: {found[0].reason}" if found else stack.reason
    hint = (f"What stands stays. Correct it and apply again: Heat goes on from there. A server that did not get ready"
            f" says why on its console (`openstack console log show`) and in `mailimg stack status --name {name}`.")
    if any(DRAIN.search(one.place) for one in found):
        hint = ("A server has not left: it stays, drained, with its mail, until it has. Mend what its reason or its"
                " console names, then do the same again: Heat asks it anew (docs/stack.md, \"How a server leaves\").")
    elif any(STORAGE_READY.fullmatch(one.place) for one in found):
        hint = ("The storage server did not get ready, and is not made anew by another `apply`: mend what its console"
                " names, run `mailimg-firstboot apply` on it, apply again. Or `mailimg stack delete`, which keeps the"
                " volume, and apply with another document and `--parameter nfs_volume=ID`.")
    return StepError(f"stack {name}: {stack.status}: {first}", hint, tail)


def set_idle(cloud: Cloud, heat: Heat, stack: Stack, platform: Platform) -> None:
    """How long sessions may be silent; Heat's listener has no property for it, and Octavia's default is 50 s.

    Raises:
        CloudError: Octavia refuses, or a load balancer is under change for too long.
    """
    ids = {one["resource_name"]: one["physical_resource_id"] for one in heat.resources(stack)}
    for balancer in platform.balancers:
        for port in balancer.ports:
            if port.idle:
                silent = port.idle * 1000
                _change(cloud, f"/lbaas/listeners/{ids[render.listener(balancer.name, port)]}",
                        {"timeout_client_data": silent, "timeout_member_data": silent}, f"{balancer.name} {port.name}")


def _change(cloud: Cloud, path: str, values: dict[str, Any], shown: str) -> None:
    what = f"set how long sessions of {shown} may be silent"
    found = cloud.call("load_balancer", "GET", path, what=what)["listener"]
    if all(found.get(name) == value for name, value in values.items()):
        return
    pools.change(cloud, "PUT", path, {"listener": values}, what)


def needs(cloud: Cloud, platform: Platform) -> None:
    """Refuse a cloud without the services that a platform is made of.

    Raises:
        InputError: those that it has not.
    """
    needed = {**NEEDED, **(FOR_VOLUMES if any(group.volume for group in platform.groups) else {})}
    problems = [f"the cloud has no {product} ({kind})" for kind, product in needed.items() if not cloud.has(kind)]
    if problems:
        raise InputError(problems, "`openstack catalog list` says which services this cloud has, and in which region.")


def _chosen(cloud: Cloud, wanted: Wanted, before: Stack | None, known: Sequence[CloudImage],
            say: Callable[[str], None]) -> dict[str, Any]:
    """Parameters that the operator need not say.

    Args:
        known: images of ours.

    Raises:
        InputError: what is not there.
    """
    problems: list[str] = []
    found: dict[str, Any] = {}
    if "alarms" not in wanted.given and not (cloud.has("alarming") and cloud.has("metric")):
        say("warning: the cloud has no Aodh and Gnocchi: no alarms; groups change their size when they are told to")
        found["alarms"] = False
    for group in wanted.platform.groups:
        name = f"{render.key(group.name)}_image"
        promoted = current(known, group.name, wanted.channel)
        if name in wanted.given:
            chosen = wanted.given[name]
        elif before is not None and before.parameters.get(name):
            # Another image is another server: that is for who says so.
            chosen = found[name] = before.parameters[name]
            if promoted is not None and promoted.id != chosen:
                how = "" if group.volume or group.lonely else f": `mailimg stack roll --role {group.name}`"
                say(f"{group.name}: stays with its image; {promoted.shown} is promoted meanwhile{how}")
        elif promoted is not None:
            chosen = found[name] = promoted.id
        else:
            problems.append(f"{group.name}: no image is promoted to {wanted.channel}")
            continue
        problems += [f"{group.name}: image {one.shown} is too old for a stack: its agent does not ask Heat (leave.heat)"
                     for one in known if chosen in (one.id, one.name) and one.properties.get(HEAT) != "yes"]
    if problems:
        raise InputError(problems, "`mailimg build`, `mailimg upload` and `mailimg promote` one, or name an image with"
                         " --parameter ROLE_image=ID.")
    return found


def _named(made: Mapping[str, Credential]) -> dict[str, str]:
    """Credentials as parameters."""
    found = {}
    for role, one in made.items():
        found[f"{render.key(role)}_credential_id"] = one.id
        found[f"{render.key(role)}_credential_secret"] = one.reference
    return found
