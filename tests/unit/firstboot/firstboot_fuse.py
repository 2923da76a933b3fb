"""SIGKILL at any change of a machine: nothing of the agent runs after it, in no thread."""

import threading
from typing import List, Optional, Tuple


class Killed(BaseException):
    """SIGKILL: nothing of the agent runs after it."""


class Fuse:
    """Counts changes of the machine; with `blows` set, that change is the last thing that is tried or done."""

    def __init__(self) -> None:
        self.changes: List[str] = []
        self.blows: Optional[Tuple[int, str]] = None
        self.dead = False
        # Steps change the machine in several threads.
        self.lock = threading.Lock()

    def before(self, what: str) -> None:
        if self.dead or self.blows == (len(self.changes), "before"):
            self.dead = True
            raise Killed(what)

    def after(self, what: str) -> None:
        with self.lock:
            self.changes.append(what)
            last = self.blows == (len(self.changes) - 1, "after")
        if last:
            self.dead = True
            raise Killed(what)
