"""The dialect of Octavia, API v2."""

from typing import Any, Dict, List, Tuple

from mailimg_firstboot.cloud.balancer import Dialect, Goal, Member
from mailimg_firstboot.cloud.session import Session

POOLS = "/v2.0/lbaas/pools"
MEMBERS = POOLS + "/*/members"
MEMBER = MEMBERS + "/*"

# How this API calls the fields of a member.
FIELDS = {"name": "name", "weight": "weight", "up": "admin_state_up", "monitor_port": "monitor_port"}


def needed(service: str) -> Tuple[Dict[str, str], ...]:
    """What an application credential must be allowed; the first is needed for pools that are given by name."""
    calls = (("GET", POOLS), ("GET", MEMBERS), ("POST", MEMBERS), ("PUT", MEMBER), ("DELETE", MEMBER))
    return tuple({"service": service, "method": method, "path": path} for method, path in calls)


class Octavia(Dialect):
    """Load balancers of Octavia; a member is ACTIVE when its load balancer has taken it."""

    service = "load-balancer"
    rules = needed(service)

    def __init__(self, session: Session) -> None:
        self._session = session

    def pools(self, name: str, what: str) -> List[str]:
        """Ids of the pools with a name."""
        import urllib.parse

        query = "?" + urllib.parse.urlencode({"name": name})
        found = self._session.call(self.service, "GET", POOLS, (), what, query).json(what)
        # An API that does not know the filter would show all.
        return [str(one["id"]) for one in found["pools"] if one.get("name") == name]

    def members(self, pool: str, what: str) -> List[Member]:
        """Every member of a pool."""
        found = self._session.call(self.service, "GET", MEMBERS, (pool,), what).json(what)
        return [Member(
            one["id"], one.get("name"), one["address"], one["protocol_port"], one["weight"], one["admin_state_up"],
            one.get("subnet_id"), one.get("monitor_port"), one.get("provisioning_status") or "",
        ) for one in found["members"]]

    def add(self, pool: str, goal: Goal, what: str) -> None:
        """Add a member."""
        self._session.call(self.service, "POST", MEMBERS, (pool,), what, body={"member": self._body(goal)})

    def change(self, pool: str, member: str, fields: Dict[str, Any], what: str) -> None:
        """Change fields of a member."""
        body = {"member": {FIELDS[name]: value for name, value in fields.items()}}
        self._session.call(self.service, "PUT", MEMBER, (pool, member), what, body=body)

    def remove(self, pool: str, member: str, what: str) -> None:
        """Remove a member."""
        self._session.call(self.service, "DELETE", MEMBER, (pool, member), what)

    def _body(self, goal: Goal) -> Dict[str, Any]:
        body: Dict[str, Any] = {"name": goal.name, "address": goal.address, "protocol_port": goal.port,
                                "weight": goal.weight}
        if goal.subnet is not None:
            body["subnet_id"] = goal.subnet
        if goal.monitor_port is not None:
            body["monitor_port"] = goal.monitor_port
        return body
