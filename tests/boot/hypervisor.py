"""Servers that Heat has Nova make, as containers of a lab: with a blank disk and the user data that Heat wrote.

The tests' cloud has no hypervisor; the stand-in for Nova only keeps what is asked of it. A lab's nodes of one role are
the places where its servers run.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cloud import Rig

from mailimg.lab import control, start
from mailimg.lab.checks.scaling import SPOOL
from mailimg.lab.state import State
from mailimg.machines.node import Node
from mailimg.peers import addresses as at

LOOK = 0.5
# The overlay of a container's disk (`lab.nodes`), emptied: it was written by a server that is gone.
BLANK = ('umount "$1/root"; rm -rf "$1/written" "$1/work"; mkdir "$1/written" "$1/work"; mount -t overlay'
         ' -o "lowerdir=$2,upperdir=$1/written,workdir=$1/work" overlay "$1/root"')


class Hypervisor:
    """Runs the servers of a rig, from `with` to its end, on nodes of a lab that are powered off.

    Attributes:
        places: the node of each server that runs.
        queued: files in the mail queue of each server that is gone, when it was deleted.
    """

    def __init__(self, rig: Rig, state: State, nodes: list[str]) -> None:
        self.rig, self.state, self.free = rig, state, nodes
        self.plan = start.plan_of(state)
        self.places: dict[str, str] = {}
        self.queued: dict[str, list[str]] = {}
        self._boots: list[Future[Any]] = []
        self._end = threading.Event()
        self._pool = ThreadPoolExecutor(len(nodes) + 1)

    def __enter__(self) -> Hypervisor:
        self._watch = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._pool.shutdown()
        for done in (self._watch, *self._boots):
            done.result()

    def trouble(self) -> None:
        """Raise what went wrong with it."""
        for done in (self._watch, *self._boots):
            if done.done():
                done.result()

    def _run(self) -> None:
        while not self._end.wait(LOOK):
            there = {str(one["id"]): one for one in self.rig.infrastructure.all("servers")}
            for server in set(self.places) - set(there):
                self._power_off(server)
            for server in set(there) - set(self.places):
                node = self.places[server] = self.free.pop(0)
                self._lay(node, there[server])
                self._boots.append(self._pool.submit(control.ask, self.state.control, "start", node))

    def _power_off(self, server: str) -> None:
        name = self.places[server]
        node = self.plan.node(name)
        asked = Node(node.login, self.state.key, node.address4).argv(SPOOL)
        self.queued[server] = self._inside(asked).split()
        control.ask(self.state.control, "stop", name)
        self.free.append(name)
        del self.places[server]

    def _lay(self, name: str, server: dict[str, Any]) -> None:
        """A blank disk and a config drive; what the lab says of the network stays."""
        writes = self.state.folder / "writes"
        self._inside(["sh", "-euc", BLANK, "blank", str(writes / name), self.plan.node(name).tree])
        drive = writes / "seeds" / name / "openstack" / "latest"
        meta = json.loads(self.read(drive / "meta_data.json"))
        meta.update(uuid=server["id"], meta=server["metadata"])
        self._write(drive / "meta_data.json", json.dumps(meta))
        # Where the lab's doors to the cloud are.
        user_data = base64.b64decode(server["user_data"]).decode().replace("127.0.0.1", at.HOST4)
        self._write(drive / "user_data", user_data)

    def read(self, file: Path) -> str:
        """A file as the lab sees it."""
        return self._inside(["cat", str(file)])

    def _write(self, file: Path, text: str) -> None:
        self._inside(["sh", "-euc", 'cat > "$1"', "write", str(file)], text)

    def _inside(self, argv: list[str], text: str = "") -> str:
        done = subprocess.run(start.inside(self.state, argv), input=text, capture_output=True, text=True, check=False,
                              timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
