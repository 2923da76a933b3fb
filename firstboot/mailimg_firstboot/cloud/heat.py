"""Orders of Heat to a server of a stack: a deployment for the action DELETE, which the server's deletion waits for.

The server is asked for by its id and answers by the deployment's own id. The signal of a resource would go to whoever
has its name by then, which is the successor's while a server is replaced.
"""

from typing import Any, Dict, List, Optional

from mailimg_firstboot.cloud.session import NotFoundError, Session

SERVICE = "orchestration"
ALL = "/v1/*/software_deployments"
ONE = ALL + "/*"

# What an application credential must be allowed, and no more.
RULES = ({"service": SERVICE, "method": "GET", "path": ALL}, {"service": SERVICE, "method": "PUT", "path": ONE})

# `input_values` of the deployment that is an order to leave: a server may have others, of other people's.
ORDER = {"mailimg": "leave"}

# Characters of a reason: what Heat keeps of a deployment has no limit, but nobody reads more.
SHOWN = 1500


class Heat:
    """The orders of one project's servers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def orders(self, instance: str) -> List[str]:
        """Ids of the deployments by which a server is to leave, and that wait for an answer.

        Raises:
            TransientError: no answer.
            StepError: refused.
        """
        import urllib.parse

        what = "ask Heat whether this server is to leave"
        names = (self._session.project(what),)
        query = "?" + urllib.parse.urlencode({"server_id": instance})
        found = self._session.call(SERVICE, "GET", ALL, names, what, query).json(what)["software_deployments"]
        return [str(one["id"]) for one in found if one.get("server_id") == instance and _waits(one)]

    def answer(self, order: str, left: bool, words: str) -> bool:
        """Say how leaving ended; False: nobody waits for it any more. Errors as `orders`.

        Args:
            words: go to the operator, as the deletion's reason if it fails.
        """
        what = "tell Heat how leaving ended"
        body = {"status": "COMPLETE" if left else "FAILED", "status_reason": words[:SHOWN]}
        try:
            self._session.call(SERVICE, "PUT", ONE, (self._session.project(what), order), what, body=body)
        except NotFoundError:
            return False
        return True

    def state(self) -> Optional[str]:
        """As `Session.state`."""
        return self._session.state()


def _waits(deployment: Dict[str, Any]) -> bool:
    return (deployment.get("action") == "DELETE" and deployment.get("status") == "IN_PROGRESS"
            and deployment.get("input_values") == ORDER)
