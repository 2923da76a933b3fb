"""What Heat wants of this server: one of a stack is told to leave before it is deleted (`leave.heat`).

Nothing is kept of an order: Heat has it until it is answered, so whoever was killed meanwhile finds it again.
"""

import functools
import json
from typing import Callable, List, NamedTuple, Optional

from mailimg_firstboot import preparing
from mailimg_firstboot.cloud.heat import Heat
from mailimg_firstboot.host import Host
from mailimg_firstboot.preparing import Options
from mailimg_firstboot.report import read_status
from mailimg_firstboot.waiting import Clock, keep_trying

# The token of the last look. To check a credential's secret costs Keystone a quarter of a second of a processor (bcrypt
# of 12 rounds, its default); without this, every server would have it do so at every look.
TOKEN = "/run/mailimg/token.json"  # noqa: S105 - a path

# Seconds in which Heat may come back to take an answer; the next look gives another.
PATIENCE = 60.0


class Orders(NamedTuple):
    """Deployments that wait for this server to leave; usually one, or none."""

    heat: Heat
    ids: List[str]

    def answer(self, left: bool, words: str, clock: Clock, say: Callable[[str], None]) -> None:
        """Say how leaving ended.

        Raises:
            FirstbootError: Heat did not hear it.
        """
        for one in self.ids:
            taken = keep_trying(functools.partial(self.heat.answer, one, left, words), clock, PATIENCE, say)
            say("{}: {}".format("told Heat" if taken else "Heat waits no more", words))


def look(host: Host, clock: Clock, options: Options) -> Optional[Orders]:
    """The orders that there are now; None: the site document does not want Heat to be asked.

    Raises:
        TransientError, GaveUpError: Heat, Keystone or the metadata service do not answer.
        StepError: Heat or Keystone refuse.
        DocumentError: the site document is wrong.
    """
    role = preparing.read_role(host, options)
    site, node = preparing.settings(host, clock, role, options)
    if not site["leave"]["heat"]:
        return None
    credential = site["cloud"]["application_credential_id"]
    known = json.loads((host.read(TOKEN) or b"{}").decode("utf-8")).get(credential)
    heat = host.cloud.heat(site, role, known)
    found = heat.orders(node.instance)
    if heat.state() != known:
        host.write(TOKEN, json.dumps({credential: heat.state()}).encode("utf-8"), mode=0o600)
    return Orders(heat, found)


def outcome(host: Host) -> str:
    """How the last run of `leave` ended, on one line: who left; or the step, why not, and what to do."""
    status = read_status(host) or {}
    return " ".join(("{state}: {message}" if status["state"] == "left" else "{message}").format(**status).split())
