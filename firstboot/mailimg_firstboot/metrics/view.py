"""What collectors look at: the machine, the role, and what the agent's last run knew of the site."""

from typing import Any, Dict, List, NamedTuple

from mailimg_firstboot.host import Host
from mailimg_firstboot.metrics.processes import Process
from mailimg_firstboot.rolefile import HealthCheck, RoleFile, Service
from mailimg_firstboot.waiting import Clock

# Seconds for one answer of a program or daemon; the whole has `collecting.DEADLINE`.
PATIENCE = 5.0


class View(NamedTuple):
    """One collection's look at the node.

    Args:
        status: status.json; empty before the agent's first run.
        processes: as they were before the collectors began, who keep daemons busy themselves.
    """

    host: Host
    clock: Clock
    role: RoleFile
    status: Dict[str, Any]
    processes: List[Process]

    @property
    def services(self) -> List[Service]:
        """Services of the role that the site wants; all of them before that is known."""
        wanted = self.status.get("services")
        return [one for one in self.role.services if wanted is None or one.name in wanted]

    @property
    def checks(self) -> List[HealthCheck]:
        """Health checks of the role that count here."""
        wanted = [one.name for one in self.services]
        return [one for one in self.role.health if one.service is None or one.service in wanted]

    @property
    def stopped(self) -> bool:
        """Whether the agent's last run was one of leaving that came to the services.

        Nothing may be asked of daemons then: where systemd listens for one, the question would start it again.
        """
        return {"intake", "services"} <= {one["name"] for one in self.status.get("steps", [])}

    def running(self, service: str) -> List[Process]:
        """The processes of a service of the role."""
        units = [one.unit for one in self.role.services if one.name == service]
        return [one for one in self.processes if one.unit in units]

    def claims(self, collector: str) -> List[str]:
        """Which `mailimg_up` a collector of that name is to give."""
        return ["mariadb"] if collector == "mariadb" else [
            one.name for one in self.checks if collector == "check_" + one.name]

    def port(self, check: str) -> int:
        """The port of a health check of the role.

        Raises:
            ValueError: it has no such check.
        """
        for one in self.role.health:
            if one.name == check:
                return one.port
        raise ValueError("role.json has no health check `{}`".format(check))

    def fact(self, daemon: str, name: str) -> str:
        """A fact of role.json.

        Raises:
            ValueError: it has none of this name.
        """
        found = self.role.facts.get(daemon, {}).get(name)
        if not isinstance(found, str) or not found:
            raise ValueError("role.json has no facts.{}.{}".format(daemon, name))
        return found
