"""`make bench-scale`: a group of instances that joins its load balancer and leaves it, all at once.

    scaling.py [--instances N] [--pools N] [--change SECONDS] [--deadline SECONDS] [--store STORE] [--json FILE]

Every instance runs the agent's own steps, with the waits and deadlines that it has in an image, against real Keystone
and Octavia: API, statuses, access rules, tokens and the lock that answers 409 are theirs. The amphorae are not:
Octavia's driver that does nothing stands for them, and each change is held for `--change` seconds before it is done, as
long as an amphora might take. The rig's Octavia answers one request at a time; a cloud's has more processes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "firstboot"))

import cloud
from cloud_crowd import Crowd, Phase
from rich.console import Console
from rich.table import Table

from mailimg.store import DEFAULT_ROOT

INSTANCES, CHANGE = 100, 0.5


def table(phases: Sequence[Phase], instances: int, title: str) -> Table:
    """A column for each phase."""
    made = Table("", *[one.name for one in phases], title=title, title_justify="left")
    rows: dict[str, list[str]] = {
        "seconds until the last is done": [f"{one.seconds:.1f}" for one in phases],
        "seconds of one, p50": [f"{one.percentile(50):.1f}" for one in phases],
        "seconds of one, p99": [f"{one.percentile(99):.1f}" for one in phases],
        "calls to Octavia, each": [f"{one.total / instances:.1f}" for one in phases],
        "of these refused (409), each": [f"{one.refused / instances:.1f}" for one in phases],
        "waits, each": [f"{one.waits / instances:.1f}" for one in phases],
        "tokens of Keystone, each": [f"{one.tokens / instances:.1f}" for one in phases],
        "calls to Octavia a second": [f"{one.total / one.seconds:.1f}" for one in phases],
        "gave up": [str(len(one.failures)) for one in phases],
        "members afterwards, each pool": [" ".join(map(str, one.members)) for one in phases],
    }
    for words, cells in rows.items():
        made.add_row(words, *cells)
    return made


def main() -> int:
    """Print the table; 1 when an instance gave up, was lost or stayed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--pools", type=int, choices=(1, 2), default=1, help="of one load balancer, that each is in")
    parser.add_argument("--change", type=float, default=CHANGE, help="seconds that an amphora takes for a change")
    parser.add_argument("--deadline", type=int, help="balancer.deadline of the site document; the default is its own")
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    chosen = parser.parse_args()
    more: dict[str, Any] = {} if chosen.deadline is None else {"deadline": chosen.deadline}
    count = chosen.instances
    with tempfile.TemporaryDirectory(prefix="mailimg-bench-") as root, cloud.openstack(chosen.store / "cache") as rig:
        crowd = Crowd(rig, Path(root), "scaling", count, chosen.pools, chosen.change, **more)
        phases = [crowd.join(), crowd.leave()]
        memory = rig.services.memory()
    processors, load = len(os.sched_getaffinity(0)), os.getloadavg()
    title = (f"{count} instances at once, {chosen.pools} pools, {chosen.change:g} s a change, "
             f"{processors} processors, load average {load[1]:.1f} (5 min)")
    console = Console(width=120)
    console.print(table(phases, count, title))
    problems = [f"{one.name}: {words}" for one in phases for words in one.failures]
    for phase, wanted in zip(phases, (count, 0), strict=True):
        problems += [f"{phase.name}: a pool has {held} members, not {wanted}" for held in phase.members
                     if held != wanted]
    for line in problems:
        console.print(line, markup=False)
    if chosen.json:
        document = {**vars(chosen), "store": None, "json": None, "processors": processors, "load": load,
                    "memory": memory, "phases": [one.figures(count) for one in phases], "problems": problems}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
