"""The dialect of Neutron LBaaS v1: one flat list of members, each with the id of its pool; no names, no subnets.

No server of it can be had any more: this is written from the API's documentation and tested against a stand-in of it.
"""

from typing import Any, Dict, List

from mailimg_firstboot.cloud.balancer import Dialect, Goal, Member
from mailimg_firstboot.cloud.session import Session

SERVICE = "network"
POOLS = "/v2.0/lb/pools"
POOL = POOLS + "/*"
MEMBERS = "/v2.0/lb/members"
MEMBER = MEMBERS + "/*"

FIELDS = {"weight": "weight", "up": "admin_state_up"}


class LBaaSv1(Dialect):
    """Pools of Neutron with members that are known by address and port alone."""

    names = False
    subnets = False
    # Not every driver knew a weight of 0.
    drain = ("up", False)
    tuned = ("weight",)
    rules = tuple({"service": SERVICE, "method": method, "path": path} for method, path in (
        ("GET", POOLS), ("GET", POOL), ("GET", MEMBERS), ("POST", MEMBERS), ("PUT", MEMBER), ("DELETE", MEMBER)))

    def __init__(self, session: Session) -> None:
        self._session = session

    def pools(self, name: str, what: str) -> List[str]:
        """Ids of the pools with a name."""
        import urllib.parse

        query = "?" + urllib.parse.urlencode({"name": name})
        found = self._session.call(SERVICE, "GET", POOLS, (), what, query).json(what)
        return [str(one["id"]) for one in found["pools"] if one.get("name") == name]

    def members(self, pool: str, what: str) -> List[Member]:
        """Every member of a pool; the list of a pool that is not there would just be empty."""
        self._session.call(SERVICE, "GET", POOL, (pool,), what)
        found = self._session.call(SERVICE, "GET", MEMBERS, (), what, "?pool_id=" + pool).json(what)
        return [Member(one["id"], None, one["address"], one["protocol_port"], one["weight"], one["admin_state_up"],
                       None, None, one.get("status") or "") for one in found["members"] if one["pool_id"] == pool]

    def add(self, pool: str, goal: Goal, what: str) -> None:
        """Add a member."""
        body = {"pool_id": pool, "address": goal.address, "protocol_port": goal.port, "weight": goal.weight}
        self._session.call(SERVICE, "POST", MEMBERS, (), what, body={"member": body})

    def change(self, _pool: str, member: str, fields: Dict[str, Any], what: str) -> None:
        """Change fields of a member."""
        body = {"member": {FIELDS[name]: value for name, value in fields.items()}}
        self._session.call(SERVICE, "PUT", MEMBER, (member,), what, body=body)

    def remove(self, _pool: str, member: str, what: str) -> None:
        """Remove a member."""
        self._session.call(SERVICE, "DELETE", MEMBER, (member,), what)
