"""The site document of a platform, and what becomes of it for each role: what its servers get as user data."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mailimg import documents
from mailimg.errors import InputError
from mailimg.resources import Resources
from mailimg.roles import Distro, load_role, role_names
from mailimg.site import check, keys, usage
from mailimg.site.keys import Key
from mailimg.stack.platform import Group, Platform, vip_keys

# What the stack says itself, and what differs between roles where one document must serve all.
OURS = {
    "role": "the document is for all roles", "signal": "Heat makes the handle", "volume": "the stack makes the volume",
}
# Of `balancer`, which is otherwise the operator's.
BALANCER = {"pools": "the stack makes the pools", "api": "the stack's pools are Octavia's",
            "address": "differs from server to server"}
LEAVING = {"siblings": "follows from `vips` and differs by role", "heat": "every server of the stack asks Heat"}
CREDENTIAL = ("application_credential_id", "application_credential_secret")
LITERAL_HINT = ("Put each secret into Barbican (`openstack secret store --name NAME --file FILE`) and write"
                " barbican:UUID: what is in the document would stand in the template and in Heat's database.")

# Seconds of leaving beyond the waits of the document: the directory, daemons that stop. As the agent counts it
# (`steps.departure`): `balancer.deadline` once until no new sessions come, and once until it is in no pool.
SPARE = 300
WAITS = {"leave.deadline": 1, "leave.flush": 1, "leave.handover": 1, "balancer.deadline": 2}

# What Heat puts into the text when it makes a server, and a sample of each for the check.
POOL, VOLUME = "%pool-{}%", "%volume%"
FILLED = {"%credential-id%": "0" * 32, "%credential-secret%": "x" * 43, VOLUME: "00000000-0000-4000-8000-000000000000",
          "%signal-url%": "https://heat.example.org/v1/signal", "%signal-token%": "x"}
SAMPLE_POOL = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Documents:
    """User data of each role, as YAML with `%...%` where Heat fills in; and what is doubtful.

    Args:
        leaving: seconds that a server may need to leave.
    """

    texts: Mapping[str, str]
    site: Mapping[str, Any]
    warnings: tuple[str, ...]
    leaving: int


def load(path: Path) -> dict[str, Any]:
    """The platform's site document.

    Raises:
        InputError: unreadable, or no mapping.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), documents.UniqueKeys)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([f"{path}: cannot be read: {documents.reason(error)}"]) from error
    except yaml.YAMLError as error:
        raise InputError([f"{path}: {documents.yaml_words(error)}"]) from error
    if not isinstance(document, dict) or "mailimg" not in document:
        raise InputError([f"{path}: is no site document: a mapping with the key `mailimg` is expected"],
                         "`mailimg site example --role ROLE` writes one to start from.")
    return document


def make(resources: Resources, platform: Platform, distro: Distro, path: Path, version: str) -> Documents:
    """The documents of all roles, each checked as its servers will check it at boot.

    Args:
        path: the platform's site document.
        version: of mailimg.

    Raises:
        InputError: everything that is wrong with the document for any of the roles.
    """
    site = load(path)
    problems = [f"{path}: {problem}" for problem in [*unfit(site), *strange_ports(site, platform)]]
    literal, warnings = _secrets(site, keys.load(resources))
    problems += [f"{path}: {place}: is the secret itself" for place in literal]
    top = keys.load(resources)
    # Of all roles, also those that this platform does without: what only they know is nobody's here.
    used = {name: usage.used(load_role(resources, name)) for name in role_names(resources)}
    texts = {group.name: text(of_role(site, group, top, used)) for group in platform.groups}
    # Only of a document that is otherwise right: an agent would tell of the same things in other words.
    if not problems:
        problems = _refused(resources, platform, distro, path, version, texts)
    if problems:
        hint = LITERAL_HINT if literal else "All keys and their meaning: `mailimg site reference` (docs/site.md)."
        raise InputError(problems, hint)
    return Documents(texts, site, tuple(f"{path}: {one}" for one in warnings), leaving(site, top))


def _refused(resources: Resources, platform: Platform, distro: Distro, path: Path, version: str,
             texts: Mapping[str, str]) -> list[str]:
    """What servers would refuse at boot, each problem once with the roles that have it."""
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="mailimg-stack-") as folder:
        for group in platform.groups:
            file = Path(folder) / path.name
            file.write_text(filled(texts[group.name]), encoding="utf-8")
            for problem in check.check(resources, group.role, distro, file, version).problems:
                found.setdefault(problem.removeprefix(f"{path.name}: ").removeprefix("site: "), []).append(group.name)
    return [f"{path}: {problem} (for {', '.join(roles)})" for problem, roles in found.items()]


def unfit(site: Mapping[str, Any]) -> Iterator[str]:
    """What the stack writes itself, and what it cannot do without."""
    for key, why in OURS.items():
        if key in site:
            yield f"{key}: {why}; leave it out"
    cloud = site.get("cloud")
    if not isinstance(cloud, dict) or "auth_url" not in cloud:
        yield "cloud.auth_url: missing; servers join pools and open secrets with Keystone's help"
    else:
        yield from (f"cloud.{key}: each role gets one of its own; leave it out" for key in CREDENTIAL if key in cloud)
    for name, ours in (("leave", LEAVING), ("balancer", BALANCER)):
        if isinstance(site.get(name), dict):
            yield from (f"{name}.{key}: {why}; leave it out" for key, why in ours.items() if key in site[name])
    if not isinstance(site.get("balancer", {}), dict):
        yield "balancer: a mapping is expected, such as {deadline: 600}"
    if any(place in yaml.safe_dump(site) for place in (*FILLED, "%pool-")):
        yield "has a text such as %pool-...%, which Heat would fill in"


def strange_ports(site: Mapping[str, Any], platform: Platform) -> Iterator[str]:
    """Virtual addresses whose port no load balancer of the platform listens on."""
    vips = site.get("vips") if isinstance(site.get("vips"), dict) else {}
    numbers: dict[str, set[int]] = {}
    for group in platform.groups:
        for port in group.role.ports:
            for key in vip_keys(port) if "balancer" in port else ():
                numbers.setdefault(key, set()).add(port["port"])
    for key, vip in (vips or {}).items():
        number = vip.get("port") if isinstance(vip, dict) else None
        if key in numbers and isinstance(number, int) and number not in numbers[key]:
            listed = ", ".join(str(one) for one in sorted(numbers[key]))
            yield f"vips.{key}.port: {number} is no port of that load balancer ({listed})"


def of_role(site: Mapping[str, Any], group: Group, top: tuple[Key, ...],
            used: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """What the servers of one role are told: the keys that do something there, and what the stack adds."""
    made: dict[str, Any] = {"mailimg": site["mailimg"], "role": group.name}
    # `cloud` and `leave` are the agent's own: it opens secrets and leaves pools whatever the role.
    wanted = {key.name for key in top if usage.relevant(key, group.role, used)}
    known = {key.name for key in top}
    made.update((name, value) for name, value in site.items()
                if name not in made and (name in wanted or name not in known))
    if isinstance(site.get("tuning"), dict):
        made["tuning"] = {name: value for name, value in site["tuning"].items()
                          if name == group.name or name not in used}
        if not made["tuning"]:
            del made["tuning"]
    cloud = made.pop("cloud", None)
    made["cloud"] = {**(cloud if isinstance(cloud, dict) else {}), "application_credential_id": "%credential-id%",
                     "application_credential_secret": "literal:%credential-secret%"}
    made["leave"] = {**made.get("leave", {}), "heat": True}
    balancer = made.pop("balancer", None)
    if group.ports:
        made["balancer"] = {**(balancer if isinstance(balancer, dict) else {}),
                            "pools": {port.name: POOL.format(port.name) for port in group.ports}}
        siblings = _siblings(site, group)
        if siblings:
            made["leave"]["siblings"] = siblings
    if group.volume:
        made["volume"] = {"serial": VOLUME}
    made["signal"] = {"url": "%signal-url%", "token": "literal:%signal-token%"}
    return made


def leaving(site: Mapping[str, Any], top: tuple[Key, ...]) -> int:
    """Seconds that a server may need to leave: the waits that the document sets, and what needs no wait."""
    known = {key.path: key.default for above in top for key in above.all()}
    given = {f"{name}.{key}": value for name in ("leave", "balancer") if isinstance(site.get(name), dict)
             for key, value in site[name].items()}
    return SPARE + sum(times * int(given.get(path, known[path])) for path, times in WAITS.items())


def filled(content: str) -> str:
    """The text with samples where Heat fills in."""
    for place, sample in FILLED.items():
        content = content.replace(place, sample)
    return re.sub(POOL.format("[a-z0-9-]+"), SAMPLE_POOL, content)


def text(document: Mapping[str, Any]) -> str:
    """YAML in ASCII only: Heat hands other characters on in a form that no longer says which they are."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=1000)


class _Dumper(yaml.SafeDumper):
    """Certificates and keys line by line; entries of lists under their key, indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text_lines(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text_lines)


def _siblings(site: Mapping[str, Any], group: Group) -> dict[str, Any]:
    """Where a server's last mail goes: the virtual address by which its own layer takes mail; empty: not known."""
    port = next((one for one in group.role.ports if one["name"] == "smtp" and "balancer" in one), None)
    vip = (site.get("vips") or {}).get(vip_keys(port)[0]) if port else None
    if port is None or not isinstance(vip, dict):
        return {}
    account = site.get("relay_account")
    if port["peers"] != "users":
        return {"host": vip.get("host"), "port": port["port"]}
    # A layer for users asks for a login; the platform's own account may send as any address.
    if not isinstance(account, dict):
        return {}
    login = {"login": account.get("login"), "password": account.get("password")}
    return {"host": vip.get("host"), "port": vip.get("port", 587), **login}


def _secrets(site: Mapping[str, Any], top: tuple[Key, ...]) -> tuple[list[str], list[str]]:
    """Places of secrets that stand in the document, and warnings of those that must be on the server."""
    literal, warnings = [], []
    for key in (one for above in top for one in above.all() if one.secret):
        for place, value in _values(site, key.path.replace("[]", ".[]").split("."), ""):
            if isinstance(value, str) and value.startswith("literal:"):
                literal.append(place)
            elif isinstance(value, str) and value.startswith("file:"):
                warnings.append(f"{place}: nothing in the stack puts {value[5:]} onto the servers")
    return literal, warnings


def _values(value: Any, path: list[str], place: str) -> Iterator[tuple[str, Any]]:
    if not path:
        yield place, value
    elif path[0] == "[]" and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _values(entry, path[1:], f"{place}[{index}]")
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:], f"{place}.{path[0]}".lstrip("."))
