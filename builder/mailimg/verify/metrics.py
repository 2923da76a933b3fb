"""What the node tells Prometheus, read as Prometheus' own client reads it, and held against what the node does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from mailimg.clients import letters
from mailimg.machines.node import Node
from mailimg.peers.directory import USERS
from mailimg.peers.sink import Sink
from mailimg.verify import timing
from mailimg.verify.scenarios import Bench, CheckFailed, until

FILE = "/var/lib/prometheus/node-exporter/mailimg.prom"
UNIT, TIMER = "mailimg-metrics.service", "mailimg-metrics.timer"

# Seconds that a collection may take, whatever hangs: its own deadline is 8, on a machine with time to spare; systemd's,
# which would leave no figures, is 30.
LONGEST = 28.0


class Figures:
    """One collection.

    Args:
        text: as it was written.

    Raises:
        CheckFailed: it is not in Prometheus' format.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        except ValueError as error:
            raise CheckFailed(f"{FILE} is not in Prometheus' format: {error}") from error

    def by(self, name: str, label: str) -> dict[str, float]:
        """Values of a metric by one of its labels."""
        return {one.labels[label]: one.value for one in self.samples if one.name == f"mailimg_{name}"}

    def value(self, name: str, **labels: str) -> float:
        """One value.

        Raises:
            CheckFailed: there is none.
        """
        found = [one.value for one in self.samples if one.name == f"mailimg_{name}" and one.labels == labels]
        if len(found) != 1:
            raise CheckFailed(f"{len(found)} samples of mailimg_{name} {labels or ''}")
        return found[0]


def collect(node: Node) -> Figures:
    """Have the node's unit write its file now, and read it.

    Raises:
        CheckFailed: what was written is not in Prometheus' format.
        StepError: the unit failed.
    """
    # One that the timer has begun saw the node as it was before. Not `restart`: its second half is called off when the
    # timer wants the unit in between; `start` is content with what the timer then begins.
    node.ask(["sh", "-euc", f"systemctl stop {UNIT}; systemctl start {UNIT}"])
    return Figures(node.ask(["cat", FILE]))


def seconds(node: Node) -> float:
    """How long the last collection took."""
    told = timing.properties(node.ask(["systemctl", "show", "-p", "Id", "-p", "ExecMainStartTimestampMonotonic",
                                       "-p", "ExecMainExitTimestampMonotonic", UNIT]))[UNIT]
    return (told["ExecMainExitTimestampMonotonic"] - told["ExecMainStartTimestampMonotonic"]) / 1e6


def told(bench: Bench) -> str:
    """On a node that is ready everything is up and every collector finds what it looks for; nobody is named."""
    figures = collect(bench.node)
    took = seconds(bench.node)
    if bench.node.ask(["systemctl", "is-active", TIMER], check=False).strip() != "active":
        raise CheckFailed(f"{TIMER} does not run")
    if (mode := bench.node.ask(["stat", "-c", "%a %U:%G", FILE]).strip()) != "644 root:root":
        raise CheckFailed(f"{FILE} is {mode}")
    status = bench.node.status()
    services = set(status["services"])
    wanted = {check["name"] for check in bench.node.role()["health"] if check.get("service") in (None, *services)}
    found = figures.by("up", "check")
    # The database of the node has no health check of its own.
    wanted |= services & {"mariadb"}
    problems = []
    if set(found) != wanted:
        problems.append(f"checks: {sorted(found)}, expected {sorted(wanted)}")
    if set(figures.by("service_active", "service")) != services:
        problems.append(f"services: {sorted(figures.by('service_active', 'service'))}, expected {sorted(services)}")
    for name, label in (("up", "check"), ("service_active", "service"), ("collector_success", "collector"),
                        ("mount_right", "path")):
        problems += [f"mailimg_{name} {one}: {value:g}" for one, value in figures.by(name, label).items() if value != 1]
    if figures.value("agent_state", state="ready") != 1:
        problems.append("the agent's state is not ready")
    problems += [f"it names {word}" for word in named(bench, figures)]
    if took > LONGEST:
        problems.append(f"it took {took:.1f} s")
    if problems:
        said = bench.node.ask(["journalctl", "-o", "cat", "-n", "8", "-t", "mailimg-metrics"], check=False)
        raise CheckFailed("\n".join([*problems, said]))
    bench.figures["metrics_cpu"] = figures.value("collection_cpu_seconds")
    bench.figures["metrics"] = round(took, 3)
    return f"{len(figures.samples)} samples in {took:.2f} s"


def named(bench: Bench, figures: Figures) -> list[str]:
    """What it tells and must not: a secret, a user, the address of one."""
    secret = [bench.directory.password, *(word for user in USERS for word in (user.login, user.mail))]
    return [word for word in secret if re.search(rf"\b{re.escape(word)}\b", figures.text)]


def deferred(bench: Bench, sink: Sink, send: Callable[[], letters.Letter]) -> str:
    """A message that its destination does not take now is counted as deferred, with its age; and gone when it went."""
    before = collect(bench.node).value("postfix_queue_messages", queue="deferred")
    sink.busy = True
    try:
        sent = send()
        came = time.monotonic()

        def counted() -> bool:
            return collect(bench.node).value("postfix_queue_messages", queue="deferred") == before + 1

        if not until(counted, bench.patience):
            raise CheckFailed(f"not {before + 1:g} messages in `deferred`:\n{bench.node.ask(['postqueue', '-p'])}")
        age = collect(bench.node).value("postfix_queue_oldest_age_seconds", queue="deferred")
        # It came before it was answered; a queue that had others has older ones.
        if age > time.monotonic() - came + 5 and not before:
            raise CheckFailed(f"{age} s old, after {time.monotonic() - came:.1f} s")
    finally:
        sink.busy = False
    bench.node.ask(["postqueue", "-f"])
    if sink.wait(sent.message_id, bench.patience) is None:
        raise CheckFailed(f"it did not arrive within {bench.patience:g} s after it was taken again")
    if not until(lambda: collect(bench.node).value("postfix_queue_messages", queue="deferred") == before, 30):
        raise CheckFailed("it arrived, and still counts as deferred")
    return f"{before:g}, {before + 1:g} for {age:.1f} s, {before:g}"


def stopped(bench: Bench, service: str, check: str) -> str:
    """A daemon that has stopped is 0, and all others are told of as before."""
    unit = bench.node.role()["facts"][service]["unit"]
    bench.node.ask(["systemctl", "stop", unit])
    try:
        figures = collect(bench.node)
    finally:
        bench.node.ask(["systemctl", "start", unit])
    if figures.value("up", check=check) != 0 or figures.value("service_active", service=service, unit=unit) != 0:
        state = [line for line in figures.text.splitlines() if f'"{check}"' in line or f'"{service}"' in line]
        raise CheckFailed("\n".join([f"{unit} is stopped, and is told to be up", *state]))
    if not until(lambda: collect(bench.node).value("up", check=check) == 1, 60):
        raise CheckFailed(f"{unit} is back for a minute, and is told to be down")
    return f"{unit}: 0, and 1 again"


def hung(bench: Bench, service: str, check: str) -> str:
    """A daemon that takes connections and never answers is 0, and the collection ends in time."""
    unit = bench.node.role()["facts"][service]["unit"]
    process = bench.node.ask(["systemctl", "show", "-p", "MainPID", unit]).strip().partition("=")[2]
    bench.node.ask(["kill", "-STOP", process])
    try:
        figures = collect(bench.node)
        took = seconds(bench.node)
    finally:
        bench.node.ask(["kill", "-CONT", process])
    if figures.value("up", check=check) != 0:
        raise CheckFailed(f"{unit} hangs, and is told to be up")
    if took > LONGEST:
        raise CheckFailed(f"it took {took:.1f} s")
    if not until(lambda: collect(bench.node).value("up", check=check) == 1, 60):
        raise CheckFailed(f"{unit} goes on for a minute, and is told to be down")
    return f"{unit}: 0 after {took:.1f} s, and 1 again"
