"""What the outside sees of a run: events, status.json, console (docs/contract.md, "What the agent writes")."""

import json
import re
import sys
import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.waiting import Clock

STATUS = "/run/mailimg/status.json"
EVENTS = "/run/mailimg/events.jsonl"

# Held by the run that writes them.
LOCK = "/run/mailimg/lock"

# States in which a run has ended.
FINAL = ("ready", "failed", "left")


class Report:
    """Tells of one run; nothing it is given may hold a revealed secret. Steps in several threads share it.

    Every event goes to standard output (the journal) and to `EVENTS` as one JSON line; status.json is always whole.

    Args:
        leaving: the run takes the node out of the platform.
    """

    def __init__(self, host: Host, clock: Clock, leaving: bool = False) -> None:
        self._host = host
        self._clock = clock
        self._lock = threading.RLock()
        self._busy = "leaving" if leaving else "running"
        self._order: List[str] = []
        # Steps that wait for something transient.
        self._waits: List[str] = []
        self._status: Dict[str, Any] = {
            "schema": 1, "role": None, "distro": None, "instance": None, "state": "leaving" if leaving else "starting",
            "message": "", "updated": "", "boot_seconds": None, "signatures": None,
            "certificate": None, "services": None, "storage": None, "heat": None, "steps": [],
        }
        # Each run's events stand alone in the file: `analyze` is about the last run, the journal has all of them.
        host.remove(EVENTS)
        self.event("begin", uptime=round(host.uptime(), 3))
        self._write()
        # The first sign of life; nothing that may have to wait for entropy is imported before it (see cli).
        self.say(self._status["state"])

    def about(self, **known: Any) -> None:
        """Add what is known: role, distro, instance, signatures, certificate, services, storage, heat."""
        with self._lock:
            self._status.update(known)
            self._write()

    def plan(self, parts: Sequence[Tuple[str, Sequence[str]]]) -> None:
        """The steps of the run, and which of them each comes after; status.json lists them in this order."""
        with self._lock:
            self._order = [name for name, _ in parts]
            self.event("plan", steps=[{"name": name, "after": list(after)} for name, after in parts])

    def event(self, kind: str, **fields: Any) -> None:
        """One event; `fields` are JSON values."""
        with self._lock:
            record = dict({"event": kind, "time": self._clock.stamp(), "at": round(self._clock.now(), 3)}, **fields)
            line = json.dumps(record, default=str)
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            self._host.append(EVENTS, line)

    def state(self, state: str, message: str) -> None:
        """The run's state, with one sentence about it."""
        with self._lock:
            self._status.update(state=state, message=message)
            if state == "ready":
                self._status["boot_seconds"] = round(self._host.uptime(), 1)
            self.event("state", state=state, message=message)
            self._write()

    def note(self, message: str) -> None:
        """Something worth knowing."""
        self.event("note", message=message)

    def warn(self, message: str) -> None:
        """Something to mend, though the node can serve; also for the console."""
        with self._lock:
            self.event("warning", message=message)
            self.say("warning: " + message)

    def waiting(self, message: str, step: str = "") -> None:
        """A wait for something transient, by a step or (empty) before there are any; the console hears of the first."""
        with self._lock:
            if step not in self._waits:
                self._waits.append(step)
                self.say(message)
            self._status.update(state=self._state(), message=message)
            self.event("wait", message=message, step=step)
            self._write()

    def step(self, name: str, state: str, seconds: float, attempts: int, message: str, waited: float = 0.0) -> None:
        """A step's state: `running`, `clean` (nothing to do), `done`, `warning`, `failed`, `cut` (others failed).

        Args:
            seconds: since it began.
            waited: how many of these it waited for something transient.
        """
        entry = {"name": name, "state": state, "seconds": round(seconds, 3), "waited": round(waited, 3),
                 "attempts": attempts, "message": message}
        with self._lock:
            steps = {one["name"]: one for one in self._status["steps"]}
            steps[name] = entry
            order = self._order + [one for one in steps if one not in self._order]
            self._status["steps"] = sorted(steps.values(), key=lambda one: order.index(one["name"]))
            # A wait before the steps has ended when there is one.
            self._waits = [one for one in self._waits if one not in ("", name)]
            self._status.update(state=self._state(), message=message or name)
            self.event("step", **entry)
            self._write()
            if state in ("done", "warning", "failed"):
                why = " ({})".format(message) if message and state != "done" else ""
                self.say("{}: {}{}".format(name, state, why))

    def _state(self) -> str:
        """The run's state while it goes on."""
        return "waiting" if self._waits and self._busy == "running" else self._busy

    def say(self, line: str) -> None:
        """A line for the console."""
        for part in line.splitlines():
            # A daemon's words may hold escape sequences; a terminal must not act on them.
            self._host.console("mailimg: " + re.sub("[\x00-\x1f\x7f-\x9f]", "?", part))

    def ready(self, message: str) -> None:
        """The end of a good run."""
        self.event("cost", cpu=round(self._host.spent(), 3))
        self.state("ready", message)
        self.say("ready {}".format(message))

    def left(self, message: str) -> None:
        """The end of a run after which the platform knows nothing of the node any more."""
        self.state("left", message)
        self.say("left {}".format(message))

    def failed(self, error: FirstbootError, step: str) -> None:
        """The end of a bad run."""
        message = "{}: {}".format(step, error.message)
        self.state("failed", message + ("\n" + error.hint if error.hint else ""))
        if "\n" in message or error.hint:
            self.say(message + ("\n" + error.hint if error.hint else ""))
        self.say("FAILED {}".format(message.splitlines()[0]))

    def _write(self) -> None:
        self._status["updated"] = self._clock.stamp()
        content = json.dumps(self._status, indent=1, default=str)
        self._host.write(STATUS, content.encode("utf-8") + b"\n")


def read_status(host: Host) -> Optional[Dict[str, Any]]:
    """status.json of the last run, or None when there was none since boot."""
    content = host.read(STATUS)
    return dict(json.loads(content.decode("utf-8"))) if content else None


def amend(host: Host, clock: Clock, **known: Any) -> None:
    """Add what was learnt after a run to its status.json; nothing happens when there was none since boot."""
    found = read_status(host)
    if found is not None:
        found.update(known, updated=clock.stamp())
        host.write(STATUS, json.dumps(found, indent=1, default=str).encode("utf-8") + b"\n")


def read_events(host: Host) -> List[Dict[str, Any]]:
    """The events of the last run, in order; a line that a crash cut off is left out."""
    events = []
    for line in (host.read(EVENTS) or b"").decode("utf-8", "replace").splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
