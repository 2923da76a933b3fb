"""Pools and a Heat in memory, for tests that may not talk to a cloud; what decides about them is the agent's own."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional

from firstboot_heat import FakeSession

from mailimg_firstboot.cloud import Cloud, balancer
from mailimg_firstboot.cloud.balancer import Balancer, Dialect, Goal, Member
from mailimg_firstboot.cloud.heat import Heat

if TYPE_CHECKING:
    from firstboot_machine import FakeHost

# Keys of a site document with pools, as `with_keys` takes them.
POOLED: Dict[str, Any] = {
    "cloud": {"auth_url": "https://keystone.example.org:5000", "application_credential_id": "a" * 32,
              "application_credential_secret": "literal:canary"},
    "balancer": {"pools": {"smtp": "mx-smtp"}},
}


class FakeDialect(Dialect):
    """One pool, whose changes pass the fuse of the machine."""

    def __init__(self, host: "FakeHost") -> None:
        self.host = host
        self.held: Dict[str, Member] = {}

    def pools(self, name: str, _what: str) -> List[str]:
        return ["5a6f2b1c-0000-4000-8000-000000000001"]

    def members(self, _pool: str, _what: str) -> List[Member]:
        return list(self.held.values())

    def add(self, _pool: str, goal: Goal, what: str) -> None:
        self.host.fuse.before(what)
        number = f"m{len(self.host.fuse.changes)}"
        self.held[number] = Member(number, goal.name, goal.address, goal.port, goal.weight, True, goal.subnet,
                                   goal.monitor_port, "ACTIVE")
        self.host.fuse.after(what)

    def change(self, _pool: str, member: str, fields: Dict[str, Any], what: str) -> None:
        self.host.fuse.before(what)
        self.held[member] = self.held[member]._replace(**fields)
        self.host.fuse.after(what)

    def remove(self, _pool: str, member: str, what: str) -> None:
        self.host.fuse.before(what)
        del self.held[member]
        self.host.fuse.after(what)


class FakeCloud(Cloud):
    """A cloud with that pool, and a Heat; the instance has one address."""

    def __init__(self, host: "FakeHost") -> None:
        super().__init__()
        self.dialect = FakeDialect(host)
        self.stack = FakeSession(host)

    def heat(self, site: Dict[str, Any], role: Any, state: Optional[str] = None) -> Heat:
        self.stack.begin(state)
        return Heat(self.stack)

    def balancer(self, site: Dict[str, Any], role: Any, node: Any) -> Balancer:
        return Balancer(self.dialect, balancer.goals(site, role.ports, node.instance, "10.0.0.7"))
