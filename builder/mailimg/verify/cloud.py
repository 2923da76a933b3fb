"""The cloud around a verification, when there is one: its load balancer and its secrets, seen with an operator's eyes.

`mailimg verify --cloud FILE` is told of it by a YAML file:

    cloud: {auth_url: ..., endpoints: {load-balancer: ..., key-manager: ...}, ...}     # as in the site document
    balancer: {pools: {smtp: POOL-ID}}                                                # as in the site document
    token: gAAAA...          # `openstack token issue`: of somebody who reads the pools and keeps secrets
    reach: {5000: "192.0.2.7:5000"}      # ports of 10.90.0.1 that lead to services, which a node cannot reach otherwise
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from mailimg.errors import InputError, StepError

KEYS = ("cloud", "balancer", "token", "reach")
SECONDS = 60.0
PLACE = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<port>[0-9]{1,5})\Z")
LITERAL = "literal:"


@dataclass(frozen=True)
class Cloud:
    """What the file says.

    Args:
        cloud: key of the site document; `endpoints` must name load-balancer and key-manager.
        balancer: key of the site document; pools by id.
        token: of Keystone.
        reach: HOST:PORT by the port of at.HOST4 that leads there.
    """

    cloud: Mapping[str, Any]
    balancer: Mapping[str, Any]
    token: str
    reach: Mapping[int, str]

    @classmethod
    def from_dict(cls, data: Any, name: str) -> Cloud:
        """Check and take.

        Raises:
            InputError: with every problem found; the documents' own keys are left to the agent.
        """
        if not isinstance(data, dict):
            raise InputError([f"{name}: not a mapping"])
        problems = [f"{name}: {key}: unknown" for key in data if key not in KEYS]
        problems += [f"{name}: {key}: missing" for key in KEYS if key not in data]
        problems += [f"{name}: {key}: not a mapping" for key in ("cloud", "balancer", "reach")
                     if not isinstance(data.get(key, {}), dict)]
        if not problems:
            endpoints = data["cloud"].get("endpoints")
            problems += [f"{name}: cloud.endpoints.{kind}: missing" for kind in ("load-balancer", "key-manager")
                         if not isinstance(endpoints, dict) or kind not in endpoints]
            problems += [f"{name}: reach.{port}: not `port: HOST:PORT`" for port, place in data["reach"].items()
                         if not str(port).isdigit() or not PLACE.match(str(place))]
            if not isinstance(data["balancer"].get("pools"), dict):
                problems.append(f"{name}: balancer.pools: missing")
        if problems:
            raise InputError(problems)
        return cls(data["cloud"], data["balancer"], str(data["token"]),
                   {int(port): str(place) for port, place in data["reach"].items()})

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @property
    def pools(self) -> dict[str, str]:
        """Ids of the pools by the names of the role's ports."""
        return {name: str(entry["pool"] if isinstance(entry, dict) else entry)
                for name, entry in self.balancer["pools"].items()}


def read(path: Path) -> Cloud:
    """The file of an operator.

    Raises:
        InputError: it is missing or wrong.
    """
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError([f"{path}: {error}"]) from error
    return Cloud.from_dict(data, str(path))


def place(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


class Observer:
    """Asks the cloud's services by themselves, not through the node."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.kept: list[str] = []
        ca = cloud.cloud.get("ca", "system")
        context = ssl.create_default_context(cadata=None if ca == "system" else ca)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                                   urllib.request.HTTPSHandler(context=context))

    def call(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """One call; the answer's JSON value, None if it has none.

        Raises:
            StepError: refused, or no answer.
        """
        what = f"{method} {path} of the {service}"
        url = str(self.cloud.cloud["endpoints"][service]).rstrip("/") + path
        headers = {"X-Auth-Token": self.cloud.token, "Accept": "application/json", "Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - a URL that the caller gives as an endpoint
            url, method=method, headers=headers, data=None if body is None else json.dumps(body).encode())
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise StepError(f"{what}: {error.code} {error.reason}", "Is the token still valid?", [said]) from error
        except OSError as error:
            raise StepError(f"{what}: {error}") from error
        return json.loads(content) if content else None

    def members(self) -> dict[str, list[dict[str, Any]]]:
        """The members of each pool, by the names of the role's ports."""
        return {port: list(self.call("load-balancer", "GET", f"/v2.0/lbaas/pools/{pool}/members")["members"])
                for port, pool in self.cloud.pools.items()}

    def keep(self, text: str) -> str:
        """Store a secret; returns its UUID."""
        body = {"name": "mailimg-verify", "secret_type": "opaque", "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64", "payload": base64.b64encode(text.encode()).decode()}
        uuid = str(self.call("key-manager", "POST", "/v1/secrets", body)["secret_ref"]).rpartition("/")[2]
        self.kept.append(uuid)
        return uuid

    def forget(self) -> None:
        """Delete what was stored."""
        while self.kept:
            self.call("key-manager", "DELETE", f"/v1/secrets/{self.kept.pop()}")


def literals(value: Any) -> list[str]:
    """The texts of all literal secrets of a document."""
    if isinstance(value, str):
        return [value.removeprefix(LITERAL)] if value.startswith(LITERAL) else []
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for child in children for text in literals(child)]


def by_reference(site: Mapping[str, Any], keep: Callable[[str], str]) -> dict[str, Any]:
    """A document with every literal secret kept elsewhere."""

    def walk(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(LITERAL):
            return "barbican:" + keep(value.removeprefix(LITERAL))
        if isinstance(value, Mapping):
            return {name: walk(child) for name, child in value.items()}
        return [walk(child) for child in value] if isinstance(value, list) else value

    return {name: walk(child) for name, child in site.items()}
