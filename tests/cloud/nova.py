"""A stand-in for Nova's list of servers, written from the compute API's documentation: the rig has no Nova.

It proves only that mailimg reads what the documentation says: names, the `image` of a server (an object, or "" when its
disk is a volume), pages announced by `servers_links`, and 403 for `all_tenants` to whoever may not ask for it.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = 2


class Nova:
    """Servers by name: the image each was made from, None for a volume.

    Args:
        admin: may ask for the servers of all projects.
    """

    def __init__(self, servers: dict[str, str | None], *, admin: bool = False) -> None:
        self.servers = servers
        self.admin = admin
        self.port = 0

    @property
    def url(self) -> str:
        """What the catalogue would say."""
        return f"http://127.0.0.1:{self.port}/v2.1"

    def answer(self, target: str) -> tuple[int, Any]:
        """Status and JSON value for a GET."""
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path.rstrip("/") == "/v2.1":
            return 200, {"version": {"id": "v2.1", "status": "CURRENT", "version": "2.1", "min_version": "2.1",
                                     "links": [{"rel": "self", "href": f"{self.url}/"}]}}
        if parts.path != "/v2.1/servers/detail":
            return 404, {"itemNotFound": {"code": 404, "message": "The resource could not be found."}}
        if query.get("all_tenants") and not self.admin:
            words = "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed."
            return 403, {"forbidden": {"code": 403, "message": words}}
        everything = [{"id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), "name": name,
                       "image": {"id": image} if image else ""} for name, image in sorted(self.servers.items())]
        ids = [one["id"] for one in everything]
        first = ids.index(query["marker"]) + 1 if "marker" in query else 0
        page = everything[first:first + PAGE]
        more = first + PAGE < len(everything)
        return 200, {"servers": page, **({"servers_links": [{"rel": "next", "href": "..."}]} if more else {})}


@contextmanager
def serve(nova: Nova) -> Iterator[Nova]:
    """Answer on a free port of loopback for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            status, value = nova.answer(self.path)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: Any) -> None:
            """Nobody reads them."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        nova.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield nova
        finally:
            server.shutdown()
            thread.join()
