"""The cloud, as steps see it: the balancer, secrets, Heat's orders, and this instance's address in it.

Host hands out one `Cloud`; its sessions last as long as the run, and no longer than the settings they were made of.
"""

import threading
from typing import Any, Dict, Optional, Tuple

from mailimg_firstboot.cloud import address, balancer
from mailimg_firstboot.cloud.barbican import Barbican
from mailimg_firstboot.cloud.heat import Heat
from mailimg_firstboot.cloud.lbaasv1 import LBaaSv1
from mailimg_firstboot.cloud.lbaasv2 import LBaaSv2
from mailimg_firstboot.cloud.octavia import Octavia
from mailimg_firstboot.cloud.session import Session, Settings, settings
from mailimg_firstboot.node import Node
from mailimg_firstboot.rolefile import RoleFile

DIALECTS = {"octavia": Octavia, "lbaasv2": LBaaSv2, "lbaasv1": LBaaSv1}


class Cloud:
    """The cloud of a site document."""

    def __init__(self) -> None:
        # Steps run at the same time, and share the session.
        self._lock = threading.Lock()
        self._open: Optional[Tuple[Settings, Session]] = None

    def session(self, site: Dict[str, Any], role: RoleFile, state: Optional[str] = None) -> Session:
        """The session of a checked site document whose secrets of `cloud` are resolved; `state` as in `Session`."""
        chosen = settings(site, role.facts)
        with self._lock:
            if self._open is None or self._open[0] != chosen:
                self._open = (chosen, Session(chosen, state))
            return self._open[1]

    def secrets(self, site: Dict[str, Any], role: RoleFile) -> Barbican:
        """Secrets of the project."""
        return Barbican(self.session(site, role))

    def heat(self, site: Dict[str, Any], role: RoleFile, state: Optional[str] = None) -> Heat:
        """What the engine of the server's stack wants of it; `state` as in `Session`."""
        return Heat(self.session(site, role, state))

    def balancer(self, site: Dict[str, Any], role: RoleFile, node: Node) -> balancer.Balancer:
        """This instance in the site's pools.

        Raises:
            TransientError, StepError: its address cannot be told.
        """
        dialect = DIALECTS[site["balancer"]["api"]](self.session(site, role))
        wanted = balancer.goals(site, role.ports, node.instance, address.own(site))
        return balancer.Balancer(dialect, wanted)
