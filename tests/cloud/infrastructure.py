"""A stand-in for Nova, Neutron and Cinder, as far as Heat asks them: things are made, shown and deleted, nothing runs.

The real ones need hypervisors, agents and a broker. Heat is real, and so is what it sends: properties, names, user
data, the order of deletions. A network, subnet, port, flavor, key pair or volume that nobody made is there as
soon as it is asked for, under any name; a server is ACTIVE at once and gone when it is deleted. Tokens are not checked.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud.services import Services

# What its port is known by.
NAME = "infrastructure"

# Types in the catalogue; one server is all three of them, told apart by the first part of the path.
TYPES = {"compute": "/v2.1", "network": "", "volumev3": "/v3/%(project_id)s"}

# What is there without having been made.
GIVEN = ("networks", "subnets", "ports", "flavors", "os-keypairs", "volumes")

# The name of one thing of a collection, where it is not the collection's without its s.
SINGULAR = {"os-keypairs": "keypair", "security-groups": "security_group", "os-server-groups": "server_group",
            "security-group-rules": "security_group_rule", "os-volume_attachments": "volumeAttachment"}
NETWORK = "11111111-1111-4111-8111-111111111111"
MAC = "fa:16:3e:00:00:01"

PATH = re.compile(r"/(?P<api>v2\.0|v2\.1|v3/[^/]+)(?P<rest>/.*)?\Z")


class Infrastructure:
    """Collections of things by their ids, as dictionaries of the API's own form."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, dict[str, Any]]] = {}
        # (seconds since the epoch, method, path) of every call that changed something.
        self.changes: list[tuple[float, str, str]] = []
        self._turn = threading.Lock()
        self._addresses = 10

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every thing of a collection that was made and not deleted."""
        with self._turn:
            return [dict(one) for one in self.things.get(kind, {}).values()]

    def deleted(self, kind: str) -> list[str]:
        """Ids of what was deleted, in order."""
        with self._turn:
            return self._deleted(kind)

    def taken(self, part: str) -> list[str]:
        """Ids of servers from which something was taken, in order: `os-interface` (a port), `os-volume_attachments`."""
        with self._turn:
            return [path.split("/")[-3] for _, method, path in self.changes
                    if method == "DELETE" and path.split("/")[-2] == part]

    def _deleted(self, kind: str) -> list[str]:
        return [path.rpartition("/")[2] for _, method, path in self.changes
                if method == "DELETE" and path.split("/")[-2] == kind]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of a call."""
        parsed = urllib.parse.urlsplit(path)
        match = PATH.match(parsed.path.rstrip("/"))
        if match is None:
            # Cinder's client looks for versions at the root, by themselves or beside others'.
            return 300, {"versions": [_version("v3.0")]}
        with self._turn:
            if method != "GET":
                self.changes.append((time.time(), method, parsed.path))
            parts = [part for part in (match["rest"] or "").split("/") if part]
            query = {key: value[0] for key, value in urllib.parse.parse_qs(parsed.query).items()}
            return self._call(method, match["api"], parts, query, body)

    def _call(self, method: str, api: str, parts: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        if not parts:
            version = _version(api)
            return 200, {"version": version, "versions": [version]}
        if parts[-1] == "limits":
            rates = dict.fromkeys(("maxServerMeta", "maxPersonality", "maxPersonalitySize", "maxTotalInstances"), -1)
            return 200, {"limits": {"absolute": rates, "rate": []}}
        if parts == ["extensions"]:
            return 200, {"extensions": [{"alias": alias, "name": alias} for alias in ("security-group", "router")]}
        if parts[0] == "servers" and len(parts) > 2:
            return self._of_server(method, parts, body)
        if api == "v2.1":
            parts = [part for part in parts if part != "detail"]
        return self._collection(method, parts, query, body)

    def _collection(self, method: str, parts: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        kind = parts[0]
        one = SINGULAR.get(kind, kind[:-1])
        many = one + "s"
        things = self.things.setdefault(kind, {})
        if len(parts) == 1:
            if method == "POST" and many in body:
                return 201, {many: [self._make(kind, wanted) for wanted in body[many]]}
            if method == "POST":
                return 201 if kind != "servers" else 202, {one: self._make(kind, body[one])}
            found = [thing for thing in things.values()
                     if all(str(thing.get(key)) == value for key, value in query.items() if key in thing)]
            wanted = query.get("id") or query.get("name")
            if not found and wanted and kind in GIVEN:
                found = [self._given(kind, wanted)]
            return 200, {many: found}
        identity = parts[1]
        if identity not in things and not (method == "GET" and kind in GIVEN):
            return 404, {"itemNotFound": {"code": 404, "message": f"{one} {identity} could not be found."}}
        if method == "DELETE":
            things.pop(identity)
            return 204, None
        if method == "PUT":
            things[identity].update(body[one])
        return 200, {one: things[identity] if identity in things else self._given(kind, identity)}

    def _of_server(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        server = self.things.get("servers", {}).get(parts[1])
        if parts[2] == "os-instance-actions" and server is None and parts[1] in self._deleted("servers"):
            # As from microversion 2.21 on.
            return 200, {"instanceActions": [{"action": "delete", "instance_uuid": parts[1]}]}
        if server is None:
            return 404, {"itemNotFound": {"code": 404, "message": f"Instance {parts[1]} could not be found."}}
        if parts[2] == "os-interface":
            return self._interface(method, parts, server)
        if parts[2] == "os-volume_attachments":
            held = server["attached"]
            if method == "POST":
                made = {"id": body["volumeAttachment"]["volumeId"], "serverId": parts[1], "device": "/dev/vdb",
                        **body["volumeAttachment"]}
                held[made["id"]] = made
                self._volume(made["id"], "in-use")
                return 200, {"volumeAttachment": made}
            if method == "DELETE":
                self._volume(held.pop(parts[3])["id"], "available")
                return 202, None
            if len(parts) > 3:
                return (200, {"volumeAttachment": held[parts[3]]}) if parts[3] in held else (404, {"itemNotFound": {}})
            return 200, {"volumeAttachments": list(held.values())}
        return 200, {"metadata": server["metadata"], "tags": []}

    def _interface(self, method: str, parts: list[str], server: dict[str, Any]) -> tuple[int, Any]:
        """Ports of a server. One that is detached is the server's no more: nothing reaches it by that."""
        if method == "DELETE":
            if parts[3] not in server["ports"]:
                return 404, {"itemNotFound": {"code": 404, "message": f"Port {parts[3]} is not attached."}}
            server["ports"].remove(parts[3])
            server["addresses"] = {}
            return 202, None
        return 200, {"interfaceAttachments": [
            {"port_id": one, "net_id": NETWORK, "port_state": "ACTIVE", "fixed_ips": [], "mac_addr": MAC}
            for one in server["ports"]]}

    def _volume(self, identity: str, status: str) -> None:
        self.things.setdefault("volumes", {}).setdefault(identity, self._given("volumes", identity))["status"] = status

    def _make(self, kind: str, wanted: dict[str, Any]) -> dict[str, Any]:
        identity = str(uuid.uuid4())
        self._addresses += 1
        address = f"10.20.0.{self._addresses}"
        extra: dict[str, dict[str, Any]] = {
            "servers": {"status": "ACTIVE", "links": [], "attached": {}, "metadata": {}, "OS-EXT-STS:task_state": None,
                        "ports": [str(uuid.uuid4())],
                        "image": {"id": wanted.get("imageRef", "")},
                        "addresses": {"net": [{"addr": address, "version": 4, "OS-EXT-IPS:type": "fixed",
                                               "OS-EXT-IPS-MAC:mac_addr": MAC}]}},
            "ports": {"status": "ACTIVE", "mac_address": "fa:16:3e:00:00:02",
                      "fixed_ips": [{"subnet_id": NETWORK, "ip_address": address}]},
            "volumes": {"status": "available", "attachments": []},
            "floatingips": {"status": "ACTIVE", "floating_ip_address": "198.51.100.7"},
            "security-groups": {"security_group_rules": []},
            "os-server-groups": {"members": []},
        }
        made = {"tenant_id": "p", "project_id": "p", "name": identity, **extra.get(kind, {}), **wanted, "id": identity}
        self.things.setdefault(kind, {})[identity] = made
        return made

    def _given(self, kind: str, identity: str) -> dict[str, Any]:
        return {"id": identity, "name": identity, "ram": 4096, "disk": 0, "vcpus": 2, "status": "available", "size": 1,
                "attachments": [], "cidr": "10.20.0.0/24", "network_id": NETWORK, "subnets": [NETWORK], "links": [],
                "fingerprint": "", "public_key": "", "tenant_id": "p", "extra_specs": {}, "mac_address": MAC}


def _version(api: str) -> dict[str, Any]:
    """How an API says what it is; Neutron's clients do not ask."""
    high, low = ("2.96", "2.1") if api == "v2.1" else ("3.70", "3.0")
    return {"id": "v2.1" if api == "v2.1" else "v3.0", "status": "CURRENT", "version": high, "min_version": low,
            "links": []}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    infrastructure: Infrastructure

    def do(self) -> None:
        """Any method."""
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        status, value = self.infrastructure.answer(self.command, self.path, json.loads(text) if text else None)
        content = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815 - the library's names

    def log_message(self, *_args: Any) -> None:
        """Nothing."""


@contextmanager
def serve(infrastructure: Infrastructure, services: Services) -> Iterator[None]:
    """Answer at the port that was reserved for it, with the services' certificate."""
    handler = type("Handler", (_Handler,), {"infrastructure": infrastructure})
    server = ThreadingHTTPServer(("127.0.0.1", services.ports[NAME]), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(services.folder / "etc" / "localhost.pem", services.folder / "etc" / "localhost.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
