"""A stand-in for Neutron's load balancers, v1 and v2, written from the API's documentation.

No server of either can be had any more, so this proves only that the agent speaks what the documentation says. Paths,
fields, statuses and the form of errors are those of the networking API; a change keeps everything immutable (409) for a
moment, as real ones do. Tokens are not checked, only asked for.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Fields of a member that may be given, and those of them that may be changed.
FIELDS = {
    "v2": ({"name", "address", "protocol_port", "weight", "admin_state_up", "subnet_id"},
           {"name", "weight", "admin_state_up"}),
    "v1": ({"pool_id", "address", "protocol_port", "weight", "admin_state_up"},
           {"pool_id", "weight", "admin_state_up"}),
}
PATHS = {
    "v2": re.compile(r"/v2\.0/lbaas/pools(?:/(?P<pool>[^/]+)/members(?:/(?P<member>[^/]+))?)?\Z"),
    "v1": re.compile(r"/v2\.0/lb/(?P<kind>pools|members)(?:/(?P<member>[^/]+))?\Z"),
}


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of this program
    """An answer that is no success."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"NeutronError": {"type": kind, "message": message, "detail": ""}}


class Neutron:
    """Pools with members.

    Args:
        version: `v1` or `v2`.
        named: members have names (not in the first releases of v2, never in v1).
        pending: seconds after a change in which every other change is refused.
    """

    def __init__(self, version: str, named: bool = True, pending: float = 0.3) -> None:
        self.version = version
        self.settable, self.tunable = (set(one) for one in FIELDS[version])
        if not named:
            self.settable -= {"name"}
            self.tunable -= {"name"}
        self.pending = pending
        self.pools: dict[str, str] = {}
        self.members: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str, int]] = []
        self.port = 0
        self._busy_until = 0.0
        self._turn = threading.Lock()

    @property
    def url(self) -> str:
        """What the catalogue would say."""
        return f"http://127.0.0.1:{self.port}/"

    def pool(self, name: str) -> str:
        """A new pool."""
        made = str(uuid.uuid4())
        self.pools[made] = name
        return made

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """Status and JSON value for a call."""
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query))
        found = PATHS[self.version].match(parts.path)
        if found is None:
            raise Refusal(404, "HTTPNotFound", "The resource could not be found.")
        with self._turn:
            if self.version == "v1":
                if found["kind"] == "pools":
                    return self._pools(found["member"], query)
                pool = query.get("pool_id") or (body or {}).get("member", {}).get("pool_id")
                return self._members(method, pool, found["member"], body)
            if found["pool"] is None:
                return self._pools(None, query)
            if found["pool"] not in self.pools:
                raise Refusal(404, "EntityNotFound", f"pool {found['pool']} could not be found")
            return self._members(method, found["pool"], found["member"], body)

    def _pools(self, pool: str | None, query: dict[str, str]) -> tuple[int, Any]:
        if pool is None:
            return 200, {"pools": [{"id": key, "name": name} for key, name in self.pools.items()
                                   if query.get("name") in (None, name)]}
        if pool not in self.pools:
            raise Refusal(404, "PoolNotFound", f"Pool {pool} could not be found")
        return 200, {"pool": {"id": pool, "name": self.pools[pool]}}

    def _members(self, method: str, pool: str | None, member: str | None, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"members": [one for one in self.members.values() if pool in (None, one["pool_id"])]}
        if member is not None and member not in self.members:
            raise Refusal(404, "EntityNotFound", f"member {member} could not be found")
        given = body["member"] if body else {}
        unknown = set(given) - (self.settable if method == "POST" else self.tunable)
        if unknown:
            raise Refusal(400, "HTTPBadRequest", f"Unrecognized attribute(s) '{', '.join(sorted(unknown))}'")
        if time.monotonic() < self._busy_until:
            raise Refusal(409, "StateInvalid", f"Invalid state PENDING_UPDATE of loadbalancer resource {pool}")
        if method == "POST":
            return self._add(str(pool), given)
        self._busy_until = time.monotonic() + self.pending
        if method == "DELETE":
            del self.members[str(member)]
            return 204, None
        self.members[str(member)].update(given)
        return 200, {"member": self.members[str(member)]}

    def _add(self, pool: str, given: dict[str, Any]) -> tuple[int, Any]:
        if self.version == "v2" and "subnet_id" not in given:
            raise Refusal(400, "HTTPBadRequest", "Failed to parse request. Required attribute 'subnet_id' not "
                                                 "specified")
        place = (pool, given["address"], given["protocol_port"])
        if place in [(one["pool_id"], one["address"], one["protocol_port"]) for one in self.members.values()]:
            raise Refusal(409, "MemberExists", f"Member with address {place[1]} and protocol_port {place[2]} already "
                                               f"present in pool {pool}.")
        made = {"id": str(uuid.uuid4()), "weight": 1, "admin_state_up": True, **given, "pool_id": pool}
        if "name" in self.settable and self.version == "v2":
            made.setdefault("name", "")
        if self.version == "v1":
            made["status"] = "ACTIVE"
        self.members[made["id"]] = made
        self._busy_until = time.monotonic() + self.pending
        return 201, {"member": made}


@contextmanager
def serve(neutron: Neutron) -> Iterator[Neutron]:
    """Answer on a free port of loopback for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                if not self.headers.get("X-Auth-Token"):
                    raise Refusal(401, "HTTPUnauthorized", "Authentication required")
                status, value = neutron.answer(self.command, self.path, body)
            except Refusal as refusal:
                status, value = refusal.status, refusal.body
            neutron.calls.append((self.command, self.path, status))
            content = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - names of the standard library

        def log_message(self, *_words: Any) -> None:
            """`calls` has them."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        neutron.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield neutron
        finally:
            server.shutdown()
            thread.join()
