"""Postfix of the machine, through its own programs; the queue through its folders, stopped or not.

All of it is what Postfix 2.10 has. Nothing here holds a secret: settings stand in main.cf, which everybody may read.
"""

import os
from typing import Any, Callable, Dict, List, NamedTuple

from mailimg_firstboot.errors import StepError

TIMEOUT = 60.0

# How services begin in master.cf that only the machine itself can reach.
LOOPBACK = ("127.", "[::1]", "localhost:")

# Where a message can be; `corrupt` is left out: what is there was damaged, and no program of Postfix would send it.
QUEUES = ("maildrop", "hold", "incoming", "active", "deferred")

# Message ids in one message of the agent.
SHOWN = 20


class Message(NamedTuple):
    """A message in the queue; `id` is its queue id."""

    id: str
    queue: str


class Postfix:
    """The mail system whose main.cf is in a folder; `path` is `Host.path`, `run` is `Host.run`."""

    def __init__(self, path: Callable[[str], Any], run: Callable[..., Any]) -> None:
        self._path = path
        self._run = run

    def setting(self, config: str, name: str) -> str:
        """A parameter's value; empty for one of ours that is not set."""
        done = self._run(["postconf", "-c", config, "-h", name], "ask for Postfix' " + name, TIMEOUT, check=False)
        return str(done.out.decode("utf-8", "replace").strip())

    def set(self, config: str, settings: Dict[str, str]) -> None:
        """Change parameters in main.cf, all at once; postconf writes a new file and renames it."""
        argv = ["postconf", "-c", config, "-e", *("{}={}".format(*one) for one in sorted(settings.items()))]
        self._run(argv, "change main.cf", TIMEOUT)

    def listeners(self, config: str) -> List[str]:
        """Services that other machines can reach, by their names in master.cf."""
        done = self._run(["postconf", "-c", config, "-M"], "ask for Postfix' services", TIMEOUT)
        rows = [line.split() for line in done.out.decode("utf-8", "replace").splitlines()]
        return [row[0] for row in rows if row[1:2] == ["inet"] and not row[0].startswith(LOOPBACK)]

    def queue(self, config: str) -> List[Message]:
        """Every message of the queue, those that an operator holds included.

        Raises:
            StepError: the queue's place is not known.
        """
        place = self.setting(config, "queue_directory")
        if not place.startswith("/"):
            raise StepError("Postfix does not say where its queue is", "`postconf queue_directory`")
        return [Message(name, queue) for queue in QUEUES
                for _, _, names in os.walk(str(self._path("{}/{}".format(place, queue)))) for name in sorted(names)]

    def flush(self, config: str) -> None:
        """Try to deliver everything now."""
        self._run(["postqueue", "-c", config, "-f"], "flush the queue", TIMEOUT)

    def release(self, config: str) -> None:
        """Put what is held back into the queue."""
        self._run(["postsuper", "-c", config, "-H", "ALL"], "release held mail", TIMEOUT)

    def requeue(self, config: str) -> None:
        """Give deferred mail the routes and filters of main.cf as it is now.

        Only what is deferred: a message that is being delivered while it is requeued would arrive twice.
        """
        self._run(["postsuper", "-c", config, "-r", "ALL", "deferred"], "requeue deferred mail", TIMEOUT)


def words(queue: List[Message]) -> str:
    """How many messages are left, and their queue ids."""
    ids = [one.id for one in queue]
    more = " and {} more".format(len(ids) - SHOWN) if len(ids) > SHOWN else ""
    return "{} message{} left in the queue: {}{}".format(len(ids), "" if len(ids) == 1 else "s", " ".join(ids[:SHOWN]),
                                                         more)
