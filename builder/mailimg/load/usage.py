"""What a node's daemons used: processor time and memory by unit, from its /proc."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mailimg.machines.node import Node

# A unit of the node's systemd that adds up the processor time of each unit, in ticks, and writes it to a file. Twice a
# second: a process that ends takes its time with it where its parent does not wait for it (amavis), at most that much.
# What the parents were credited with in the same moment is not counted again.
SAMPLER = "mailimg-load-usage"
FILE = "/run/mailimg-load-usage.json"
SAMPLE = """\
import json, os, time
seen, carried = {}, {}
while True:
    now = {}
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid == "1":
            continue
        try:
            groups = open("/proc/%s/cgroup" % pid).read().split()
            stat = [int(one) for one in open("/proc/%s/stat" % pid).read().rpartition(")")[2].split()[11:20]]
        except (OSError, ValueError):
            continue
        names = [part for group in groups for part in group.split("/") if part.endswith(".service")]
        now[pid, stat[8]] = (names[-1] if names else "other", stat[0] + stat[1], stat[2] + stat[3])
    lost = {}
    for one, (name, own, children) in seen.items():
        if one not in now:
            lost[name] = lost.get(name, 0) + own + children
        elif now[one][0] == name:
            lost[name] = lost.get(name, 0) - (now[one][2] - children)
    for name, ticks in lost.items():
        carried[name] = carried.get(name, 0) + max(ticks, 0)
    total = dict(carried)
    for name, own, children in now.values():
        total[name] = total.get(name, 0) + own + children
    seen = now
    with open(FILE + ".new", "w") as file:
        json.dump(total, file)
    os.rename(FILE + ".new", FILE)
    time.sleep(0.5)
"""
# Memory: pages that several processes share count once (Pss).
PROGRAM = """\
import json, os, subprocess, time
if subprocess.call(["systemctl", "is-active", "--quiet", UNIT]):
    subprocess.check_call(["systemd-run", "--quiet", "--collect", "--unit=" + UNIT, "python3", "-c", SAMPLE])
    while not os.path.exists(FILE):
        time.sleep(0.05)
else:
    time.sleep(0.6)
units = {name: [ticks, 0, 0] for name, ticks in json.load(open(FILE)).items()}
for pid in os.listdir("/proc"):
    if not pid.isdigit() or pid == "1":
        continue
    try:
        groups = open("/proc/%s/cgroup" % pid).read().split()
        memory = dict(line.split()[:2] for line in open("/proc/%s/smaps_rollup" % pid).readlines()[1:])
    except OSError:
        continue
    names = [part for group in groups for part in group.split("/") if part.endswith(".service")]
    unit = units.setdefault(names[-1] if names else "other", [0, 0, 0])
    unit[1] += int(memory.get("Pss:", 0))
    unit[2] += 1
print(json.dumps({"ticks": os.sysconf("SC_CLK_TCK"), "units": units}))
"""


@dataclass(frozen=True)
class Unit:
    """Of one unit: seconds of processor time, MiB of memory, processes."""

    cpu: float
    memory: float
    processes: int


Usage = Mapping[str, Unit]

# Units that every node has; what is left carries mail.
SYSTEM = ("systemd-", "ssh", "dbus", "cloud-", "cron", "chrony", "sssd", "user@", "getty", "console-getty",
          "serial-getty", "mailimg-", "other", "init", "unattended", "polkit")


def ask(node: Node) -> Usage:
    """What the node's units have used by now; see `of_mail`.

    Raises:
        StepError: no SSH connection.
    """
    constants = f"FILE, UNIT = {FILE!r}, {SAMPLER!r}\n"
    text = f"{constants}SAMPLE = {constants + SAMPLE!r}\n{PROGRAM}"
    return parse(node.ask(["python3", "-c", text]))


def of_mail(told: Usage) -> dict[str, Unit]:
    """Without what every server has."""
    return {name: unit for name, unit in told.items() if not name.startswith(SYSTEM)}


def parse(text: str) -> dict[str, Unit]:
    """The program's answer."""
    told = json.loads(text)
    return {
        name.removesuffix(".service"): Unit(cpu / told["ticks"], kib / 1024, processes)
        for name, (cpu, kib, processes) in told["units"].items()
    }


def spent(before: Usage, after: Usage) -> dict[str, float]:
    """Seconds of processor time between two answers, by unit; less than 10 ms is left out."""
    found = {name: round(unit.cpu - (before[name].cpu if name in before else 0.0), 2) for name, unit in after.items()}
    return {name: cpu for name, cpu in found.items() if cpu >= 0.01}
