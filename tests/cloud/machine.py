"""The machine of a server: a folder with the image's role.json and the server's metadata, and the agent's own code.

No daemon runs: of the role's services only Postfix is left where `mail` is given, as a folder of messages. Everything
towards the cloud is real: secrets, pools, the signal of the boot, orders to leave and their answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mailimg.resources import installed
from mailimg.rolejson import role_document
from mailimg.roles import load_distro, load_role
from mailimg_firstboot import engine, orders, postfix, systemd, wayout
from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.preparing import Options
from mailimg_firstboot.report import Report, read_status
from mailimg_firstboot.waiting import Clock

# Of the steps of a boot, the one that a machine without daemons can take.
STEPS = tuple(step._replace(after=()) for step in engine.STEPS if step.name == "balancer")

# No metadata service: nobody answers there, at once.
NOWHERE = "http://127.0.0.1:9/openstack/latest/"

SEED = "/var/lib/cloud/seed/config_drive/openstack/latest/"
SPOOL = "/var/spool/postfix"
UNIT = {"name": "postfix", "unit": "postfix@-.service"}


def role_of(name: str, mail: bool = False) -> dict[str, Any]:
    """role.json of a role's image for debian-12, without what needs daemons."""
    resources = installed()
    made = role_document(load_role(resources, name), load_distro(resources, "debian-12"), identity="0" * 64,
                         version="0.1.0")
    made.update(site=[], services=[UNIT] if mail else [], databases=[], files=[], health=[])
    return {key: value for key, value in made.items() if key not in ("assignment", "mount", "volume")}


def lay(root: Path, role: dict[str, Any], meta: dict[str, Any], user_data: bytes) -> None:
    """The files of a machine that has just been made."""
    files = {"/etc/passwd": "root:x:0:0::/:/bin/sh\n", "/etc/group": "root:x:0:\n", "/proc/uptime": "1.0 1.0\n",
             "/etc/mailimg/role.json": json.dumps(role), SEED + "meta_data.json": json.dumps(meta),
             SEED + "user_data": user_data.decode("ascii")}
    for path, content in files.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


class Machine:
    """One machine.

    Args:
        root: its folder; nothing is there yet.
        mail: messages in its queue, which stay there.
    """

    def __init__(self, root: Path, role: str, meta: dict[str, Any], user_data: bytes,
                 mail: tuple[str, ...] = ()) -> None:
        lay(root, role_of(role, bool(mail)), meta, user_data)
        self.host = Host(str(root), Units())
        self.host.postfix = Spool(self.host)
        self.clock = Clock()
        self.options = Options(url=NOWHERE, patience=1.0)
        for one in mail:
            place = root / SPOOL.lstrip("/") / "deferred" / one
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("mail")

    def boot(self) -> None:
        """Into the pools, and tell Heat, as the agent does at the end of a boot."""
        engine.apply(self.host, self.clock, Report(self.host, self.clock), self.options, STEPS)

    def waiting(self) -> list[str]:
        """The orders to leave that wait for this server."""
        found = orders.look(self.host, self.clock, self.options)
        return found.ids if found else []

    def answer(self, order: str, left: bool, words: str) -> None:
        """Tell Heat something else than what the agent would."""
        found = orders.look(self.host, self.clock, self.options)
        assert found is not None
        found.heat.answer(order, left, words)

    def watch(self) -> str:
        """What the timer does; returns how it failed, or nothing."""
        try:
            wayout.watch(self.host, self.clock, self.options, lambda _words: None)
        except FirstbootError as error:
            return error.message
        return ""

    @property
    def state(self) -> str:
        """Of the last run."""
        return str((read_status(self.host) or {"state": ""})["state"])


class Units(systemd.Systemd):
    """Every unit runs until it is stopped."""

    def __init__(self) -> None:
        super().__init__(self._never)
        self.stopped: set[str] = set()

    def state(self, unit: str) -> systemd.UnitState:
        return systemd.UnitState(True, unit not in self.stopped and unit == UNIT["unit"], "as the test has it")

    def triggers(self, unit: str) -> list[str]:
        """No unit has a socket."""
        return []

    def _order(self, order: str, unit: str) -> None:
        (self.stopped.add if order == "stop" else self.stopped.discard)(unit)

    @staticmethod
    def _never(*_args: Any, **_more: Any) -> Any:
        raise AssertionError("a unit is to be asked of systemd itself")


class Spool(postfix.Postfix):
    """A queue whose messages nobody takes, until somebody empties it."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.path, host.run)
        self.held: dict[str, str] = {"queue_directory": SPOOL}

    def setting(self, config: str, name: str) -> str:
        return self.held.get(name, "")

    def set(self, config: str, settings: dict[str, str]) -> None:
        self.held.update(settings)

    def listeners(self, config: str) -> list[str]:
        return ["smtp"]

    def flush(self, config: str) -> None:
        """Nobody answers."""
