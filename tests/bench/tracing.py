"""`make bench-trace`: how many lines of logs a second `mailimg trace` searches, and what memory it takes.

    tracing.py [--lines N]

The logs are those that tests/data/trace holds of three real nodes, over and over, each time with other ids, so that one
message is in the middle of many; once plain, once packed with gzip, at two lengths.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

DATA = Path(__file__).resolve().parents[1] / "data/trace"
# Memory that a longer log may cost: nothing but noise.
GROWTH_MIB = 4.0
# Its parent's memory is not the child's: the child says itself what it took.
CHILD = """
import json, resource, sys
from pathlib import Path
from mailimg.trace import trace
found = trace(sys.argv[1], [Path(sys.argv[2])])
print(json.dumps({"lines": found.searched.lines, "passes": found.searched.passes, "seconds": found.searched.seconds,
                  "octets": found.searched.octets, "hops": len(found.hops),
                  "states": [one.state for one in found.verdicts],
                  "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def copies(text: str, lines: int) -> Iterator[str]:
    """The log again and again, with other ids but for the middle one's; at least so many lines."""
    rounds = max(1, lines // text.count("\n"))
    for number in range(rounds):
        yield text if number == rounds // 2 else renamed(text, number)


def renamed(text: str, number: int) -> str:
    """A log with ids that no other number gives: of queues, messages, Dovecot's sessions, amavis' tasks."""
    letters = "".join("BCDFGHJKLM"[int(digit)] for digit in f"{number:06}")
    text = re.sub(r"\b4jXg", letters, text)
    text = re.sub(r"<[0-9a-f]{8}", f"<{number:08x}", text)
    text = text.replace("AAAA9VE3aQ", f"{number:010}")
    return re.sub(r"\((\d{5})-", f"({number + 100_000}-", text)


def write(folder: Path, lines: int, packed: bool) -> None:
    """Three nodes' logs, together of about so many lines."""
    folder.mkdir()
    for log in sorted((DATA / "iso").iterdir()):
        text = log.read_text()
        name = folder / (log.name + (".gz" if packed else ""))
        with gzip.open(name, "wb", 6) if packed else name.open("wb") as stream:
            for part in copies(text, lines // 3):
                stream.write(part.encode())


def measured(folder: Path, message_id: str) -> dict[str, Any]:
    """One trace, in a process of its own."""
    argv = [sys.executable, "-c", CHILD, message_id, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found = dict(json.loads(done.stdout))
    assert (found["hops"], found["states"]) == (3, ["delivered", "delivered"]), found
    return found


def main() -> int:
    """Print a table; 1 when memory grew with the logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000, help="of the longer logs (default: 2,000,000)")
    chosen = parser.parse_args()
    message_id = json.loads((DATA / "sent.json").read_text())["list"]
    table = Table("logs", "lines", "MiB", "passes", "seconds", "lines/s", "MiB/s", "memory MiB")
    memory: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="mailimg-trace-", dir="/var/tmp") as name:
        for packed in (False, True):
            for lines in (chosen.lines // 20, chosen.lines):
                folder = Path(name) / f"{lines}-{packed}"
                write(folder, lines, packed)
                found = measured(folder, message_id)
                memory[packed].append(found["memory"])
                size, seconds, passes = found["octets"] / 2**20, found["seconds"], found["passes"]
                table.add_row("gzip" if packed else "plain", f"{found['lines'] // passes:,}", f"{size / passes:,.0f}",
                              str(passes), f"{seconds:.2f}", f"{found['lines'] / seconds:,.0f}",
                              f"{size / seconds:,.0f}", f"{found['memory']:.1f}")
    Console().print(table)
    grown = max(long - short for short, long in memory.values())
    print(f"twenty times as many lines take {grown:+.1f} MiB of memory (promised: less than {GROWTH_MIB:g})")  # noqa: T201
    return 0 if grown < GROWTH_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
