"""`make bench-upload`: an image into Glance, by mailimg and by `openstack image create`, in one run on one machine.

    uploading.py [--store STORE] [--mib 400] [--rounds 3]

Keystone and Glance run on loopback, behind TLS. Wall time is the whole command's; processor time is that of the command
and, beside it, of Glance. The other side is the plain client of the services' own environment: it streams the file and
compares no checksum. For mailimg, reading the file for the checksums is in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import cloud
from glance_site import CLOUD, MAILIMG, Operator, make_image
from rich.console import Console
from rich.table import Table

from mailimg.store import DEFAULT_ROOT

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Of one upload, in seconds; `memory` is the command's peak in MiB."""

    wall: float
    command: float
    glance: float
    memory: float


def processor(pid: int) -> float:
    """Seconds of user and system time of a process (proc(5): fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[-1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(operator: Operator, argv: Sequence[str | Path]) -> Cost:
    """Run a command that uploads one image, and delete the image."""
    glance = operator.rig.services.running["glance"].pid
    before, begun = processor(glance), time.monotonic()
    command = subprocess.Popen([str(word) for word in argv], env=operator.environment(), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert command.stdout is not None
    said, peak = [], 0.0
    for line in command.stdout:
        said.append(line.decode())
        peak = max(peak, high_water(command.pid))
    _, status, used = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost(time.monotonic() - begun, used.ru_utime + used.ru_stime, processor(glance) - before, peak)
    if command.returncode:
        raise RuntimeError(f"{argv}: status {command.returncode}\n{''.join(said)}")
    operator.clear()
    return cost


def high_water(pid: int) -> float:
    """Peak memory so far in MiB; 0.0 of a process that has ended (its resource usage would count its parent's too)."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(row.split()[1]) / 1024 for row in rows if row.startswith("VmHWM:")), 0.0)


def main() -> int:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--mib", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailimg-bench-") as folder, \
            cloud.openstack(chosen.store / "cache", "keystone", "glance") as rig:
        operator = Operator(Path(folder), rig, rig.project())
        image = make_image(Path(folder) / "out", mib=chosen.mib)
        client = rig.services.environment.folder / "bin" / "openstack"
        sides: dict[str, Callable[[], Cost]] = {
            "openstack image create": lambda: measured(operator, [
                client, "--os-cloud", CLOUD, "image", "create", "--private", "--disk-format", "qcow2", "--file", image,
                "bench"]),
            "mailimg upload": lambda: measured(operator, [MAILIMG, "upload", image, "--os-cloud", CLOUD]),
        }
        found: dict[str, list[Cost]] = {name: [] for name in sides}
        for _ in range(chosen.rounds):
            for name, run in sides.items():
                found[name].append(run())
        operator.upload(image)
        begun = time.monotonic()
        operator.upload(image)
        again = time.monotonic() - begun
    table = Table("", "wall, s", "least", "processor, s", "of Glance, s", "peak memory, MiB",
                  title=f"one image of {chosen.mib} MiB, median of {chosen.rounds}", title_justify="left")
    for name, costs in found.items():
        wall, command, glance, memory = (f"{statistics.median(getattr(one, field) for one in costs):.1f}"
                                         for field in ("wall", "command", "glance", "memory"))
        # On a machine that does other things too, the least wall time tells most.
        table.add_row(name, wall, f"{min(one.wall for one in costs):.1f}", command, glance, memory)
    table.add_row("mailimg upload, the same again", f"{again:.1f}")
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
