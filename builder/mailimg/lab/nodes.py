"""The nodes of a lab: each boots, is watched, can be stopped and started again with the disk it had."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError
from mailimg.lab import addresses as at
from mailimg.lab import network, usage
from mailimg.lab.plan import NodePlan, Plan
from mailimg.machines.console import Console
from mailimg.machines.machine import Container, Guest, exited
from mailimg.machines.node import Node
from mailimg.machines.place import Place

MAILBOXES = "/MAILBOXES"
VMAIL = 5000
VOLUME_MIB = 8192  # sparse
POWEROFF_SECONDS = 90.0
SSH_SECONDS = 120.0
# The container's control groups, one for each hierarchy: made and entered by itself.
WRAP = 'while [ "$1" != -- ]; do mkdir -p "$1"; echo 0 > "$1/cgroup.procs"; shift; done; shift; exec "$@"'


def place_of(node: NodePlan) -> Place:
    """A node's place, for machine and config drive."""
    return Place(name=node.name, uuid=node.uuid, mac=node.mac, address4=node.address4, address6=node.address6,
                 gateway4=at.GATEWAY4, gateway6=at.GATEWAY6, port=node.cable, keypair="lab")


class LabNode:
    """One node.

    Args:
        folder: its console and logs.
        disk: where what it writes goes: a folder in memory for a container.
        seed: its config drive: a folder, or an ISO file for a guest.
        changed: is told the node's name, its new state and a line for people.

    Attributes:
        state: off, booting, ready, failed.
        said: the agent's last word.
        seconds: from power on to that word.
    """

    def __init__(self, plan: Plan, node: NodePlan, folder: Path, disk: Path, seed: Path, cgroups: list[Path],
                 mailboxes: Path | None, key: Path, changed: Callable[[str, str, str], None]) -> None:
        self.plan, self.node, self.folder, self.changed, self.cgroups = plan, node, folder, changed, cgroups
        self.state, self.said, self.seconds = "off", "", 0.0
        self.ssh = Node(node.login, key, node.address4)
        self._lock = threading.Lock()
        self._journal: process.Process | None = None
        self.machine: Container | Guest
        if node.machine == "nspawn":
            binds: Mapping[str, Path] = {MAILBOXES: mailboxes} if mailboxes and node.role == "pop-imap-lda" else {}
            wrapper = ("sh", "-euc", WRAP, "boot", *[str(group / node.name) for group in cgroups], "--")
            self.machine = Container(folder, self._root(disk), seed, binds, place_of(node), keeps=True, wrapper=wrapper)
        else:
            self.machine = Guest(folder, Path(node.image), seed, firmware=plan.firmware, accel=plan.accel,
                                 memory_mib=node.memory_mib, place=place_of(node), disks=disk,
                                 volume_mib=VOLUME_MIB if node.role == "nfs" else 0)

    def _root(self, disk: Path) -> Path:
        """A root directory that shows the tree and takes what is written elsewhere."""
        for name in ("written", "work", "root"):
            (disk / name).mkdir(parents=True)
        layers = f"lowerdir={_escape(Path(self.node.tree))},upperdir={disk / 'written'},workdir={disk / 'work'}"
        process.run(["mount", "-t", "overlay", "-o", layers, "overlay", disk / "root"],
                    what=f"lay the disk of {self.node.name} over its tree", timeout=20)
        return disk / "root"

    def boot(self) -> None:
        """Power on and wait for the agent's last word.

        Raises:
            StepError: it says FAILED, or nothing in time; its last lines come with it. Or somebody stopped it.
        """
        begun = time.monotonic()
        with self._lock:
            if self.state in ("booting", "ready"):
                raise StepError(f"{self.node.name} runs")
            # One that failed may still be there.
            self._end(hard=True)
            self._set("booting", "power on")
            told = self._power_on()
        try:
            self._watch(told, begun)
        except StepError as error:
            if self.state == "booting":
                self._set("failed", error.message)
            raise
        with self._lock:
            # Somebody may have stopped it while its journal was looked for.
            if self.state == "booting":
                self._set("ready", told.verdict)

    def _power_on(self) -> Console:
        try:
            if isinstance(self.machine, Guest):
                network.tap(self.node)
                self.machine.console.unlink(missing_ok=True)
            told = Console(self.machine.console, lambda text: self.changed(self.node.name, "", text))
            told.offset = self.machine.console.stat().st_size if self.machine.console.exists() else 0
            if isinstance(self.machine, Guest):
                self.machine.start()
            else:
                with network.Plug(self.node):
                    self.machine.start()
        except BaseException as error:
            self._set("failed", str(error))
            raise
        return told

    def _watch(self, told: Console, begun: float) -> None:
        """Follow the console until the agent's last word."""
        while True:
            ended = exited(self.machine)
            told.read()
            if told.verdict:
                break
            if self.state != "booting":
                raise StepError(f"{self.node.name}: was stopped while it booted")
            if ended:
                raise StepError(f"{self.node.name}: ended with {ended}", tail=told.tail() or self.machine.tail())
            if time.monotonic() - begun > self.plan.timeout:
                raise StepError(f"{self.node.name}: no word from the agent after {self.plan.timeout:g} s",
                                tail=told.tail())
            time.sleep(0.1)
        self.said, self.seconds = told.verdict, time.monotonic() - begun
        self.follow()
        if not told.verdict.startswith("ready"):
            raise StepError(f"{self.node.name}: {told.verdict}", tail=told.tail())

    def follow(self) -> None:
        """Write the node's journal of this boot into its log, until it ends."""
        self._end_journal()
        try:
            self.ssh.wait(SSH_SECONDS)
        except StepError as error:
            self.changed(self.node.name, "", f"its journal cannot be read: {error.message}")
            return
        argv = self.ssh.argv(["journalctl", "--boot", "--follow", "--no-tail", "--quiet", "-o", "short-iso-precise"])
        with (self.folder / "journal").open("ab") as log:
            self._journal = process.start(argv, what="follow the journal", stdout=log, stderr=process.STDOUT)

    def stop(self, *, hard: bool = False) -> None:
        """Power off, as an operator does, or as a power cut does.

        Raises:
            StepError: it does not end.
        """
        with self._lock:
            if isinstance(self.machine, Guest) and not hard and self.state == "ready":
                self.ssh.ask(["systemctl", "--no-block", "poweroff"])
                deadline = time.monotonic() + POWEROFF_SECONDS
                while not exited(self.machine) and time.monotonic() < deadline:
                    time.sleep(0.2)
            self._end(hard)
            self._set("off", "cut off" if hard else "powered off")

    def _end(self, hard: bool) -> None:
        if hard:
            usage.end(self.cgroups, self.node.name)
        if self.machine.process is not None:
            process.kill_group(self.machine.process, 0.0 if hard else POWEROFF_SECONDS)
            self.machine.process = None
        # What is in a container outlives a killed nspawn, and would hold its files.
        if not usage.end(self.cgroups, self.node.name):
            raise StepError(f"{self.node.name}: its processes do not end")
        self._end_journal()

    def _end_journal(self) -> None:
        if self._journal is not None:
            process.kill_group(self._journal)
            self._journal = None

    def _set(self, state: str, text: str) -> None:
        self.state = state
        self.changed(self.node.name, state, text)

    def told(self) -> dict[str, object]:
        """For state.json."""
        if self.state == "ready" and exited(self.machine):
            self._set("failed", f"ended with {exited(self.machine)}")
        return {"state": self.state, "said": self.said, "seconds": round(self.seconds, 1),
                "role": self.node.role, "address": self.node.address4, "machine": self.node.machine}


def mailbox_folder(writes: Path) -> Path:
    """What the mailbox servers share instead of NFS."""
    folder = writes / "mailboxes"
    folder.mkdir(mode=0o750)
    os.chown(folder, VMAIL, VMAIL)
    return folder


def _escape(path: Path) -> str:
    """A path as a lower layer of an overlay."""
    return str(path.absolute()).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
