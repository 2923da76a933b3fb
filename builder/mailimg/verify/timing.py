"""Figures of a boot: how long the agent took, on the clock that systemd and the agent share (seconds)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.machines.node import Node

AGENT, NETWORK = "mailimg-firstboot.service", "network-online.target"
EVENTS = "/run/mailimg/events.jsonl"


def of_boot(node: Node) -> dict[str, float]:
    """What the node's records say of its last boot; to be asked before the agent runs again.

    Raises:
        StepError: no SSH connection.
    """
    told = node.ask(["systemctl", "show", "-p", "Id,ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic",
                     AGENT, NETWORK])
    events = [json.loads(line) for line in node.ask(["cat", EVENTS]).splitlines()]
    return measured(events, properties(told))


def properties(text: str) -> dict[str, dict[str, int]]:
    """Numbers of `systemctl show` by unit and property; what is not set is left out."""
    found = {}
    for block in text.strip().split("\n\n"):
        rows = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        # 0: it never happened.
        found[rows.pop("Id", "")] = {name: int(value) for name, value in rows.items() if value.isdigit() and int(value)}
    return found


def measured(events: Sequence[Mapping[str, Any]], units: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """The figures that the records are enough for.

    Returns:
        `agent_says` (from its start to its first word: the interpreter, imports), `agent_plans` (to the first step:
        metadata, secrets and certificate are there), `ready` (from the network's end to the last step's, registration
        with the load balancer where there is one), `agent_cpu` (of the agent and the programs it ran).
    """
    agent, network = units.get(AGENT, {}), units.get(NETWORK, {})
    began = agent.get("ExecMainStartTimestampMonotonic", 0) / 1e6
    online = network.get("ActiveEnterTimestampMonotonic", 0) / 1e6
    at = [float(one["at"]) for one in events if one["event"] == "begin"]
    steps = [float(one["at"]) for one in events if one["event"] == "step"]
    found = {}
    if began and at:
        found["agent_says"] = at[0] - began
    if began and steps:
        found["agent_plans"] = steps[0] - began
    if online and steps:
        found["ready"] = steps[-1] - online
    for one in events:
        if one["event"] == "cost":
            found["agent_cpu"] = float(one["cpu"])
    return {name: round(value, 3) for name, value in found.items()}
