"""The dialect of Neutron LBaaS v2: Octavia's calls, under the network service.

No server of it can be had any more: this is written from the API's documentation and tested against a stand-in of it.
"""

from typing import Any, Dict

from mailimg_firstboot.cloud import octavia
from mailimg_firstboot.cloud.balancer import Goal
from mailimg_firstboot.cloud.session import BadRequestError


class LBaaSv2(octavia.Octavia):
    """Load balancers of Neutron; members have no monitor port and no status of their own."""

    service = "network"
    tuned = ("name", "weight")
    rules = octavia.needed(service)

    def add(self, pool: str, goal: Goal, what: str) -> None:
        """Add a member; the first releases have no names of members, and refuse what they do not know."""
        try:
            super().add(pool, goal, what)
        except BadRequestError as error:
            if "name" not in error.message:
                raise
            body = self._body(goal)
            del body["name"]
            self._session.call(self.service, "POST", octavia.MEMBERS, (pool,), what, body={"member": body})

    def _body(self, goal: Goal) -> Dict[str, Any]:
        return super()._body(goal._replace(monitor_port=None))
