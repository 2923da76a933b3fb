"""Orders to leave that an operator gives: the same as Heat gives before it deletes a server (docs/stack.md).

A server finds them by its id, and answers by the order's own: `COMPLETE` when it has left, `FAILED` with why it cannot.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailimg.cloud.connection import Cloud

SERVICE = "orchestration"
# By this a server knows an order among its deployments.
INPUT = {"mailimg": "leave"}
# A deployment needs a configuration; by its name it is known whose it is.
CONFIG = "mailimg-leave"
WAITING, LEFT, UNABLE = "IN_PROGRESS", "COMPLETE", "FAILED"

# Seconds between looks; servers look every half minute.
LOOK = 2.0


@dataclass(frozen=True)
class Order:
    """An order; `server` is the instance's UUID, `reason` what the server says."""

    id: str
    server: str
    status: str
    reason: str
    config: str


class Orders:
    """Those of a project."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def all(self, server: str = "") -> list[Order]:
        """All of them, or those of one server."""
        path = "/software_deployments" + (f"?server_id={server}" if server else "")
        found = self._call("GET", path, what="list orders to leave")["software_deployments"]
        return [_order(one) for one in found if one["action"] == "DELETE" and one.get("input_values") == INPUT]

    def give(self, server: str) -> Order:
        """Tell a server to leave."""
        config = self._call("POST", "/software_configs", {"name": CONFIG, "group": "mailimg", "config": "leave"},
                            what="give an order to leave")["software_config"]["id"]
        made = self._call("POST", "/software_deployments", {
            "config_id": config, "server_id": server, "input_values": INPUT, "action": "DELETE", "status": WAITING,
            "status_reason": "told by mailimg"}, what=f"tell server {server} to leave")
        return _order(made["software_deployment"])

    def wait(self, order: Order, seconds: float) -> Order:
        """The order when it is answered, or as it is after so many seconds; withdrawn by somebody else: `UNABLE`."""
        deadline = time.monotonic() + seconds
        while True:
            found = self._call("GET", f"/software_deployments/{order.id}", what="look at an order to leave",
                               missing=True)
            if found is None:
                return Order(order.id, order.server, UNABLE, "the order was withdrawn", order.config)
            now = _order(found["software_deployment"])
            if now.status != WAITING or time.monotonic() > deadline:
                return now
            time.sleep(LOOK)

    def drop(self, order: Order) -> None:
        """Withdraw an order, or forget one that was answered; its configuration goes if it is ours."""
        self._call("DELETE", f"/software_deployments/{order.id}", what="drop an order to leave", missing=True)
        config = self._call("GET", f"/software_configs/{order.config}", what="look at an order", missing=True)
        if config is not None and config["software_config"]["name"] == CONFIG:
            self._call("DELETE", f"/software_configs/{order.config}", what="drop an order to leave", missing=True)

    def _call(self, method: str, path: str, body: Any = None, *, what: str, missing: bool = False) -> Any:
        return self.cloud.call(SERVICE, method, path, body, what=what, missing=missing)


def _order(found: Mapping[str, Any]) -> Order:
    return Order(found["id"], found["server_id"], found["status"], found.get("status_reason") or "",
                 found["config_id"])
