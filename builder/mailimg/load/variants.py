"""One node with several configurations, ours and the distribution's own among them, between which it is switched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailimg.load import usage
from mailimg.load.usage import Usage
from mailimg.machines.node import Node

OURS, STOCK = "ours", "stock"
# A folder of the host's disk in the node: a container's own files lie in memory, where no write waits for a disk.
DISK = "/srv/load"


@dataclass(frozen=True)
class Daemons:
    """What is switched.

    Args:
        units: in start order; stopped in the opposite one.
        folders: with their configuration, without the first slash.
        state: folders that are on the disk, for each configuration its own, without the first slash.
        ports: on loopback, which answer when all have started.
    """

    units: Sequence[str]
    folders: Sequence[str]
    state: Sequence[str]
    ports: Sequence[int]


class Variants:
    """Switches a node that the agent has configured; `stock` below the disk's folder is the other configuration.

    Args:
        disk: the folder of the host that the node sees as DISK.
        derived: further configurations by name: ours, changed by a line of shell that runs where its `etc` is.
    """

    def __init__(self, node: Node, daemons: Daemons, disk: Path, derived: Mapping[str, str] | None = None) -> None:
        self.node = node
        self.derived = derived or {}
        self.daemons = daemons
        self.disk = disk
        # Strangers (the queue's and the filter's users) go through it to what is theirs.
        disk.chmod(0o755)
        self._began = False

    def switch(self, name: str) -> None:
        """Stop all, put that configuration in place, start all; the first time also keep ours.

        Raises:
            StepError: a unit does not start; the message is systemctl's.
        """
        units, one = self.daemons, f"{DISK}/{name}"
        lines = ["set -eu", f"systemctl stop {' '.join(reversed(units.units))}"]
        if not self._began:
            lines += self._prepared()
            self._began = True
        for folder in units.folders:
            lines += [f"find /{folder} -mindepth 1 -delete", f"cp -a {one}/{folder}/. /{folder}/"]
        for folder in units.state:
            lines += [f"if mountpoint -q /{folder}; then umount /{folder}; fi",
                      f"mount --bind {one}/{folder} /{folder}"]
        lines += [f"systemctl start {unit} || {{ journalctl --no-pager -o cat -n 12 -u {unit} >&2; exit 1; }}"
                  for unit in units.units]
        lines += [f"n=0; until (echo > /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do "
                  f"n=$((n+1)); [ $n -lt 300 ]; sleep 0.1; done" for port in units.ports]
        self.node.ask(["bash", "-c", "\n".join(lines)])

    def _prepared(self) -> list[str]:
        lines = []
        for variant in (OURS, STOCK, *self.derived):
            lines += [f"mkdir -p {DISK}/{variant}",
                      f"cd /; cp -a --parents {' '.join(self.daemons.state)} {DISK}/{variant}"]
            if variant != STOCK:
                lines.append(f"cp -a --parents {' '.join(self.daemons.folders)} {DISK}/{variant}")
        return lines + [f"cd {DISK}/{variant}; {change}" for variant, change in self.derived.items()]

    def usage(self) -> Usage:
        """What the daemons have used."""
        names = [unit.removesuffix(".service") for unit in self.daemons.units]
        return {name: unit for name, unit in usage.ask(self.node).items() if name in names}

    def log(self, since: float) -> str:
        """What was logged of mail since then (seconds of the wall clock)."""
        command = f"journalctl --no-pager -o short-unix --since=@{since:.6f} | grep -F postfix/"
        return self.node.ask(["sh", "-c", f"{command} || [ $? = 1 ]"])

    def queued(self) -> int:
        """Messages in the queue."""
        return self.node.ask(["postqueue", "-j"]).count('"queue_id"')
