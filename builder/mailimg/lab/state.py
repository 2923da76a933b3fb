"""The folder of a running lab, and who runs it.

    request.json        what the supervisor was asked for
    state.json          who it is, its phase, the state of every node and peer; replaced whole
    events              JSON lines: what happened, for those who watch
    supervisor.log      what it says beside that
    control             Unix socket (`control`)
    passwords.json      of the domain's people, joiner and administrator, and of the master user; for root
    ca.pem, ssh-key     authority of all certificates; key of every node's account
    nodes/NAME/         console, journal, nspawn.log or qemu.log
    peers/NAME/         log, data of each peer
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mailimg.errors import InputError, StepError
from mailimg.process import start_time

ROOT = Path("/run/mailimg")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\Z")
CGROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"),
           Path("/sys/fs/cgroup/memory"))
GONE_SECONDS = 20.0


class State:
    """The folder of one lab by its name."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        if not NAME.match(name):
            raise InputError([f"--name {name!r}: small letters, digits and hyphens, at most 22"])
        self.name = name
        self.folder = root / f"lab-{name}"
        self.events = self.folder / "events"
        self.control = self.folder / "control"
        self.request = self.folder / "request.json"
        self.key = self.folder / "ssh-key"
        self.authority = self.folder / "ca.pem"
        self.screenshots = self.folder / "screenshots"

    def make(self, request: Mapping[str, Any]) -> None:
        """The folder, for root only; whoever makes it owns the lab.

        Raises:
            StepError: it is there.
        """
        self.folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            self.folder.mkdir(mode=0o700)
        except FileExistsError:
            raise StepError(f"lab {self.name}: somebody else starts it at this moment") from None
        for name in ("nodes", "peers"):
            (self.folder / name).mkdir()
        self.events.touch()
        self.request.write_text(json.dumps(request))

    def read(self) -> dict[str, Any]:
        """state.json; empty where there is none."""
        try:
            found = json.loads((self.folder / "state.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace state.json."""
        new = self.folder / "state.json.new"
        new.write_text(json.dumps(state, indent=1))
        new.rename(self.folder / "state.json")

    @property
    def supervisor(self) -> int:
        """Process id of the lab's first process, if it runs; 0: it does not."""
        told = self.read().get("supervisor", {})
        pid = int(told.get("pid", 0))
        return pid if pid and start_time(pid) == told.get("started") else 0

    def passwords(self) -> dict[str, str]:
        """passwords.json."""
        return dict(json.loads((self.folder / "passwords.json").read_text()))

    def node_folder(self, name: str) -> Path:
        """Where a node's logs are."""
        return self.folder / "nodes" / name

    def end(self) -> None:
        """End the lab's processes, all of them: with the first one of a process namespace the others go.

        Raises:
            StepError: they do not go.
        """
        told = self.read().get("supervisor", {})
        pid, parent = self.supervisor, int(told.get("parent", 0))
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            if not _gone(pid, GONE_SECONDS):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not _gone(pid, GONE_SECONDS):
                raise StepError(f"lab {self.name}: its supervisor (process {pid}) does not end")
        if parent and start_time(parent) == told.get("parent_started") and not _gone(parent, GONE_SECONDS):
            raise StepError(f"lab {self.name}: process {parent} does not end")

    def clear(self) -> None:
        """Remove what a lab that has ended left: control groups, work files, the folder."""
        asked = self.asked()
        for folder in asked.get("cgroups", ()):
            remove_cgroup(Path(folder))
        if asked.get("scratch"):
            shutil.rmtree(asked["scratch"], ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def asked(self) -> dict[str, Any]:
        """request.json; empty where there is none."""
        try:
            found = json.loads(self.request.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while start_time(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def cgroups(name: str) -> list[Path]:
    """The control groups for a lab's nodes, one for each hierarchy of this host; they need not exist.

    Each container needs one of its own: systemd in it believes to be alone there.
    """
    found = []
    for root in CGROUPS:
        if not (root / "cgroup.procs").exists():
            continue
        found.append(root / own_cgroup(root).lstrip("/") / f"mailimg-lab-{name}")
    return found


def own_cgroup(root: Path) -> str:
    """Where this process is in a hierarchy."""
    kind = "" if root.name in ("cgroup", "unified") else root.name
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (controllers.removeprefix("name=") if kind else controllers) == kind:
            return path
    return "/"


def remove_cgroup(folder: Path) -> None:
    """Remove a control group with those in it; they must be empty of processes."""
    # Those of a node that was just ended may vanish meanwhile: walk does not mind.
    for inner, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(inner).rmdir()


def labs(root: Path = ROOT) -> list[State]:
    """All labs that have a folder."""
    return [State(path.name.removeprefix("lab-"), root) for path in sorted(root.glob("lab-*"))
            if path.is_dir() and NAME.match(path.name.removeprefix("lab-"))]
