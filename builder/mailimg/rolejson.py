"""The builder's half of the contract: role and distribution resolved into `/etc/mailimg/role.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError

from mailimg import documents
from mailimg.errors import InputError
from mailimg.roles import Distro, Role

SCHEMA = 1


def role_document(role: Role, distro: Distro, *, identity: str, version: str) -> dict[str, Any]:
    """What the agent will know of its image.

    Args:
        identity: of the image's last layer, 64 hex digits.
        version: of mailimg.

    Raises:
        InputError: a daemon that the distribution does not describe, a path or template that does not resolve or exist,
            a parameter whose default the distribution does not offer.
    """
    problems: list[str] = []
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - paths, not HTML

    def resolve(text: str, place: str) -> str:
        try:
            return environment.from_string(text).render(distro.daemons)
        except TemplateError as error:
            problems.append(f"{role.shown}: {place}: {text!r} does not resolve with {distro.shown}: {error.message}")
            return text

    services = []
    for index, name in enumerate(role.services):
        unit = distro.daemons.get(name, {}).get("unit")
        if unit is None:
            hint = documents.nearest(name, distro.daemons)
            problems.append(f"{role.shown}: services[{index}]: {distro.shown} has no daemons.{name}.unit{hint}")
            continue
        services.append({"name": name, "unit": unit, **role.optional.get(name, {})})

    def known(service: str, place: str) -> None:
        if service not in role.services:
            hint = documents.nearest(service, role.services)
            problems.append(f"{role.shown}: {place}: {service!r} is not among the role's services{hint}")

    for name in role.optional:
        known(name, f"optional.{name}")
    databases = []
    for index, database in enumerate(role.databases):
        known(database["service"], f"databases[{index}].service")
        databases.append({**database, "account": resolve(database["account"], f"databases[{index}].account")})

    files = []
    for index, file in enumerate(role.files):
        place = f"files[{index}]"
        service = file.get("service")
        if service is not None:
            known(service, f"{place}.service")
        path = resolve(file["path"], f"{place}.path")
        if not path:
            continue
        template = resolve(file["template"], f"{place}.template")
        if "{" not in template and not (role.folder / "templates" / template).is_file():
            missing = f"roles/{role.name}/templates/{template}"
            problems.append(f"{role.shown}: {place}.template: {missing} does not exist ({distro.shown} leads there)")
        files.append({
            "template": template,
            "path": path,
            "owner": resolve(file.get("owner", "root"), f"{place}.owner"),
            "group": resolve(file.get("group", "root"), f"{place}.group"),
            "mode": file.get("mode", "0644"),
            "service": service,
            "secret": file.get("secret", False),
            **({"each": file["each"]} if file.get("each") else {}),
        })

    health = []
    for index, check in enumerate(role.health):
        resolved = dict(check)
        if "service" in resolved:
            known(resolved["service"], f"health[{index}].service")
        if "path" in resolved:
            resolved["path"] = resolve(resolved["path"], f"health[{index}].path")
        health.append(resolved)

    if role.mount is not None and role.mount["site"] not in role.site:
        hint = documents.nearest(role.mount["site"], role.site)
        problems.append(f"{role.shown}: mount.site: {role.mount['site']!r} is not among the role's `site` keys{hint}")

    mount = None if role.mount is None else dict(role.mount)
    if mount is not None and "indexes" in mount:
        mount["indexes"] = resolve(mount["indexes"], "mount.indexes")

    assignment = None if role.assignment is None else dict(role.assignment)
    if assignment is not None:
        assignment["file"] = resolve(assignment["file"], "assignment.file")
        if mount is None:
            problems.append(f"{role.shown}: assignment: there is no `mount` where servers could know of each other")

    parameters = {}
    for name, parameter in role.parameters.items():
        parameters[name], words = offered(parameter, distro)
        problems += [f"{role.shown}: parameters.{name}{word}" for word in words]

    if problems:
        raise InputError(problems)
    return {
        "schema": SCHEMA,
        "role": role.name,
        "distro": distro.name,
        "identity": identity,
        "version": version,
        "site": list(role.site),
        **({"uses": list(role.uses)} if role.uses else {}),
        "parameters": parameters,
        "facts": {name: dict(facts) for name, facts in distro.daemons.items()},
        "services": services,
        "databases": databases,
        **({} if role.volume is None else {"volume": dict(role.volume)}),
        **({} if mount is None else {"mount": mount}),
        **({} if assignment is None else {"assignment": assignment}),
        "files": files,
        "ports": [{key: port[key] for key in ("name", "port", "peers")} for port in role.ports],
        "health": health,
    }


def offered(parameter: Mapping[str, Any], distro: Distro) -> tuple[dict[str, Any], list[str]]:
    """A parameter as the agent gets it: without the values of `enum` that the fact named by `offered` does not have.

    Returns:
        the parameter, and what is wrong with it, each to stand behind its name.
    """
    found = {key: value for key, value in parameter.items() if key != "offered"}
    if "offered" not in parameter:
        return found, []
    daemon, _, fact = parameter["offered"].partition(".")
    values = distro.daemons.get(daemon, {}).get(fact)
    if not isinstance(values, list):
        return found, [f".offered: {distro.shown} has no list daemons.{parameter['offered']}"]
    found["enum"] = [value for value in parameter.get("enum", []) if value in values]
    if parameter["default"] not in found["enum"]:
        return found, [f".default: {parameter['default']!r} is not in daemons.{parameter['offered']} of {distro.shown}"]
    return found, []
