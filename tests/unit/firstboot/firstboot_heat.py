"""Heat's deployments in memory, behind the calls that the agent makes; every answer passes the fuse of the machine."""

import json
from typing import Any, Dict, List, Optional, Sequence

from mailimg_firstboot.cloud import heat
from mailimg_firstboot.cloud.session import Answer, NotFoundError, Session
from mailimg_firstboot.errors import TransientError

PROJECT = "a-project"


class FakeSession(Session):
    """A session that Heat is on the other side of, as the rig's real one behaves (tests/lab/test_stack_agent.py).

    `failures` are raised by the next calls, one each. Tokens are counted: a session that is begun with one asks for no
    other.
    """

    def __init__(self, host: Any) -> None:
        self.host = host
        self.deployments: Dict[str, Dict[str, Any]] = {}
        self.failures: List[Exception] = []
        self.tokens = 0
        self._state: Optional[str] = None
        self._trust = None

    def begin(self, state: Optional[str]) -> None:
        self._state = state

    def order(self, server: str, **other: Any) -> str:
        """Begin to delete a server; returns the deployment's id."""
        name = "deployment-{}".format(len(self.deployments))
        self.deployments[name] = dict({
            "id": name, "server_id": server, "action": "DELETE", "status": "IN_PROGRESS", "status_reason": "",
            "input_values": dict(heat.ORDER)}, **other)
        return name

    def project(self, what: str) -> str:
        if self.failures:
            raise self.failures.pop(0)
        if self._state is None:
            self.tokens += 1
            self._state = "token {}".format(self.tokens)
        return PROJECT

    def state(self) -> Optional[str]:
        return self._state

    def call(
        self, service: str, method: str, path: str, names: Sequence[str], what: str, query: str = "",
        body: Optional[Dict[str, Any]] = None, accept: str = "",
    ) -> Answer:
        assert {"service": service, "method": method, "path": path} in heat.RULES
        assert names[0] == PROJECT
        if method == "GET":
            server = query.partition("server_id=")[2]
            found = [one for one in self.deployments.values() if one["server_id"] == server]
            return Answer(200, json.dumps({"software_deployments": found}).encode())
        if names[1] not in self.deployments:
            raise NotFoundError("404")
        self.host.fuse.before("answer")
        self.deployments[names[1]].update(body or {})
        self.host.fuse.after("answer")
        return Answer(200, b"{}")


def away() -> TransientError:
    """What no answer is."""
    return TransientError("ask Heat: Connection refused")
