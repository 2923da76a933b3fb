"""Who uploads an image: written on it while that lasts, so that the next run can tell what was left behind."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailimg.identity import digest
from mailimg.process import start_time

# Seconds after which an upload from another machine, which cannot be asked, counts as dead: 1 TiB at 50 MiB/s.
LEASE = 6 * 3600.0


@dataclass(frozen=True)
class Mark:
    """One process on one machine, until its next boot.

    Args:
        machine: of boot and process namespace: there, and only there, `pid` means something.
        started: ticks after the boot at which the process started; a number that comes again has another.
        host: name for people.
    """

    machine: str
    pid: int
    started: int
    host: str

    def __str__(self) -> str:
        return f"{self.machine} {self.pid} {self.started} {self.host}"

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """The inverse of `str`; None for anything else."""
        words = text.split(" ")
        if len(words) != 4 or not (words[1].isdigit() and words[2].isdigit()):
            return None
        return cls(words[0], int(words[1]), int(words[2]), words[3])


def mine() -> Mark:
    """This process."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    space = Path("/proc/self/ns/pid").readlink()
    return Mark(digest(f"{boot} {space}")[:16], os.getpid(), start_time(os.getpid()), platform.node() or "unknown")


def gone(text: str, me: Mark, created: str, now: datetime, *, abandoned: bool = False) -> bool:
    """Whether whoever uploaded an image will not finish it.

    Args:
        text: the image's mark; what is none was written by somebody else, and waits for the lease.
        created: the image, as Glance writes it.
        now: with time zone.
        abandoned: somebody knows that the uploads of other machines are dead.
    """
    mark = Mark.read(text)
    if mark is not None and mark.machine == me.machine:
        return start_time(mark.pid) != mark.started
    return abandoned or (now - moment(created)).total_seconds() > LEASE


def moment(text: str) -> datetime:
    """Glance's time as a value."""
    return datetime.fromisoformat(text).astimezone(UTC)
