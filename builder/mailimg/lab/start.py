"""The outer half of a lab: starts its supervisor, follows what it tells, looks into it, ends it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.errors import InputError, StepError
from mailimg.lab import usage
from mailimg.lab.plan import Plan
from mailimg.lab.state import ROOT, State, cgroups, labs

BEGIN_SECONDS = 20.0
INTERVAL = 0.2
# What is left free for the rest of the machine.
SPARE_MIB = 500


def available_mib(meminfo: str) -> int:
    """MiB that can be taken, from the text of /proc/meminfo."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return 0


def check_memory(plan: Plan, meminfo: str) -> str:
    """A line that says what is needed and what there is.

    Raises:
        StepError: there is too little.
    """
    there = available_mib(meminfo)
    words = f"memory: about {plan.memory_mib} MiB needed, {there} MiB available"
    if there < plan.memory_mib + SPARE_MIB:
        raise StepError(f"start the lab: {words}",
                        "End what else runs here, give guests less (--memory ROLE=MIB), or take --storage bind.")
    return words


def check_watches(plan: Plan, limit: int, used: int) -> None:
    """A container whose systemd may watch no more files would hang half-way through its boot.

    Args:
        limit, used: of inotify's instances.

    Raises:
        StepError: there are too few left.
    """
    needed = usage.WATCHES * sum(node.machine == "nspawn" for node in plan.nodes)
    if used + needed > limit:
        raise StepError(f"start the lab: its containers need {needed} inotify instances; {used} of {limit} are in use",
                        f"Allow more: sysctl fs.inotify.max_user_instances={max(1024, 2 * (used + needed))}")


def up(plan: Plan, peers: Path, tell: Callable[[dict[str, Any]], None], root: Path = ROOT) -> State:
    """Start a lab and follow it until it is up; interrupted, or failing before its nodes boot, it is taken down.

    Args:
        peers: where first states of peers are kept.
        tell: gets each event (`supervisor`).

    Raises:
        StepError: a lab of this name runs, or this one does not come up; with failed nodes it stays, to be looked at.
    """
    state = State(plan.name, root)
    if state.supervisor:
        raise StepError(f"lab {plan.name}: runs already (phase {state.read().get('phase')})",
                        "See it with `mailimg lab status`, end it with `mailimg lab down`, or choose another --name.")
    if state.folder.exists() and _abandoned(state):
        state.end()
        state.clear()
    scratch = tempfile.mkdtemp(prefix=f"mailimg-lab-{plan.name}-")
    try:
        request = {"name": plan.name, "root": str(root), "peers": str(peers.absolute()), "scratch": scratch,
                   "cgroups": [str(one) for one in cgroups(plan.name)], "plan": plan.to_dict()}
        state.make(request)
    except BaseException:
        Path(scratch).rmdir()
        raise
    try:
        _launch(state)
        _follow(state, tell)
    except _NodesFailedError as failed:
        raise StepError(failed.message, failed.hint, failed.tail) from None
    except BaseException:
        with process.undisturbed():
            down(state)
        raise
    return state


class _NodesFailedError(StepError):
    """Nodes did not come up; the lab stays."""


def _abandoned(state: State) -> bool:
    """Whether nobody owns the folder any more; a new one without a supervisor gets the time to start it."""
    if state.read():
        return True
    return time.time() - state.folder.stat().st_mtime > BEGIN_SECONDS


def _launch(state: State) -> None:
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    # The inner half must be this very package, also where it is not installed.
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    argv = process.confine([sys.executable, "-m", "mailimg.lab", str(state.request), str(proc)], network=True,
                           tied=False)
    try:
        with (state.folder / "supervisor.log").open("ab") as log:
            running = process.start(argv, what="start the lab", env=env, stdout=log, stderr=process.STDOUT,
                                    pass_fds=[proc])
    finally:
        os.close(proc)
    deadline = time.monotonic() + BEGIN_SECONDS
    while not state.supervisor:
        if running.poll() is not None or time.monotonic() > deadline:
            raise StepError("start the lab: its supervisor did not begin", tail=_log(state))
        time.sleep(0.05)


def _follow(state: State, tell: Callable[[dict[str, Any]], None]) -> None:
    """Hand on events until the lab is up or has failed."""
    tails: list[str] = []
    with state.events.open() as file:
        rest = ""
        while True:
            alive = state.supervisor
            rest += file.read()
            *lines, rest = rest.split("\n")
            for event in map(json.loads, lines):
                tell(event)
                if event["event"] == "error":
                    tails = [*event["tail"], event["text"]]
                if event["event"] == "phase" and event["phase"] == "up":
                    return
                if event["event"] == "phase" and event["phase"] == "failed":
                    if state.read().get("nodes"):
                        raise _NodesFailedError(f"start the lab: {event['error']}",
                                      "It goes on running: `mailimg lab logs NODE`, `mailimg lab shell NODE`; end it "
                                      "with `mailimg lab down`.", tails)
                    raise StepError(f"start the lab: {event['error']}", tail=tails)
            if not alive and not lines:
                raise StepError("start the lab: its supervisor ended", tail=_log(state))
            time.sleep(INTERVAL)


def _log(state: State) -> list[str]:
    path = state.folder / "supervisor.log"
    return path.read_text(errors="replace").splitlines()[-process.TAIL_LINES:] if path.exists() else []


def down(state: State) -> None:
    """End a lab and remove what it left; nothing happens when there is none."""
    state.end()
    state.clear()


def running(name: str, root: Path = ROOT) -> State:
    """A lab that runs.

    Raises:
        StepError: it does not.
    """
    state = State(name, root)
    if not state.supervisor:
        others = ", ".join(one.name for one in labs(root) if one.supervisor)
        rest = f" Running: {others} (--name)." if others else ""
        ended = state.folder.exists()
        raise StepError(f"lab {name}: {'its supervisor has ended' if ended else 'does not run'}",
                        ("Remove what it left: `mailimg lab down`." if ended else "Start it: `mailimg lab up`.") + rest)
    return state


def plan_of(state: State) -> Plan:
    """The plan that a lab was started with."""
    return Plan.from_dict(json.loads(state.request.read_text())["plan"])


def inside(state: State, argv: Sequence[str], *, processes: bool = True) -> list[str]:
    """A command line that runs in the lab's namespaces.

    Raises:
        InputError: it does not run.
    """
    pid = state.supervisor
    if not pid:
        raise InputError([f"lab {state.name}: does not run"])
    kinds = ["--mount", "--net", *(["--pid"] if processes else [])]
    return ["nsenter", f"--target={pid}", *kinds, "--", *argv]
