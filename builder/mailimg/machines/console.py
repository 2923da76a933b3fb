"""The console of a node as it boots: which phase it is in, and what the agent says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mailimg.errors import StepError

# What a phase is known by. Kernel and systemd write these on the console of every target.
PHASES = (
    ("kernel", re.compile(r"Linux version \d")),
    ("init", re.compile(r"systemd\[1\]: |Welcome to (?!GRUB)|systemd \d+\S* running in")),
    ("network", re.compile(r"Reached target \S*(?:network-online\.target|Network is Online)|ci-info: \+")),
)
# After these nothing more will come; waiting for the time-out would only cost time.
DEAD = re.compile(r"Kernel panic - not syncing|grub rescue>|You are in emergency mode|Entering emergency mode"
                  r"|No bootable device|BdsDxe: failed to load Boot")
# At the start of a line, after a login prompt that has no line end of its own, or with the kernel's time in front.
AGENT = re.compile(r"(?:^|login: |^\[ *\d+\.\d+\] )mailimg: (.*)")
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")
# systemd's moving stars while it waits: they would push everything else out of the tail.
WAITING = re.compile(r"^\[[* ]{6}\] .*\(")
TAIL = 25


def plain(text: str) -> str:
    """A console line without colours and cursor movements."""
    return ESCAPES.sub("", text).rstrip()


@dataclass
class Console:
    """Follows a console file that another program writes.

    Args:
        path: the file.
        report: gets one line a phase and a line of the agent, with the seconds since the start.
    """

    path: Path
    report: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    phases: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    verdict: str = ""  # the agent's last word: "ready ..." or "FAILED ..."

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.offset = 0
        self.rest = b""

    def read(self) -> None:
        """Take in what is new.

        Raises:
            StepError: the console shows that the system will never come up.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            new = file.read()
        self.offset += len(new)
        *whole, self.rest = (self.rest + new).split(b"\n")
        for raw in whole:
            self.take(plain(raw.decode(errors="replace")))

    def take(self, line: str) -> None:
        """Judge one line."""
        if not line or (WAITING.match(line) and self.lines and WAITING.match(self.lines[-1])):
            return
        self.lines.append(line)
        seconds = self.clock() - self.started
        for name, pattern in PHASES:
            if name not in self.phases and pattern.search(line):
                self.reach(name, seconds)
        if said := AGENT.search(line):
            if "agent" not in self.phases:
                self.reach("agent", seconds)
            self.report(f"{seconds:7.1f} s  agent: {said[1]}")
            word = said[1].split(" ", 1)[0].rstrip(":")
            if word in ("ready", "FAILED"):
                self.verdict = said[1]
                self.reach(word, seconds)
        if DEAD.search(line):
            raise StepError(f"boot the node: {line.strip()}", tail=self.tail())

    def reach(self, phase: str, seconds: float) -> None:
        """A phase begins."""
        self.phases[phase] = seconds
        self.report(f"{seconds:7.1f} s  {phase}")

    def tail(self) -> list[str]:
        """The last lines, for a person."""
        return self.lines[-TAIL:]
