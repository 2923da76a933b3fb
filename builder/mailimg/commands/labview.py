"""What `mailimg lab` shows, and how it reads its options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from mailimg.errors import InputError
from mailimg.lab import control, start, usage
from mailimg.lab.plan import Plan
from mailimg.lab.state import State

# What the agent says to any site that gives it secrets as the lab does.
OWN_DOING = "the secret stands literally in the metadata"


def numbers(option: str, pairs: Sequence[tuple[str, str]], what: str, least: int,
            problems: list[str]) -> dict[str, int]:
    """ROLE=NUMBER as a mapping.

    Args:
        problems: takes a line for everything that is no number of at least `least`.
    """
    found = {}
    for name, value in pairs:
        if value.isascii() and value.isdigit() and int(value) >= least:
            found[name] = int(value)
        else:
            problems.append(f"{option} {name}={value}: not a number of {what} from {least} on")
    return found


def parameters(pairs: Sequence[tuple[str, str]], problems: list[str]) -> dict[str, dict[str, Any]]:
    """ROLE.NAME=VALUE as mappings by role; a value is YAML.

    Args:
        problems: takes a line for everything that has not that form.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in pairs:
        role, _, parameter = name.partition(".")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            read = None
        if role and parameter and read is not None:
            found.setdefault(role, {})[parameter] = read
        else:
            problems.append(f"--set {name}={value}: not ROLE.NAME=VALUE")
    return found


def plan_lines(plan: Plan) -> Iterator[str]:
    """A plan for people."""
    yield f"lab {plan.name}, storage: {plan.storage}, about {plan.memory_mib} MiB, networks {', '.join(plan.networks)}"
    for node in plan.nodes:
        yield f"  node  {node.name:16} {node.address4:13} {node.machine:7} {node.memory_mib:5} MiB  {node.image}"
    for vip in plan.vips:
        yield f"  vip   {vip.name:16} {vip.address4:13} {', '.join(str(port.port) for port in vip.ports):16} {vip.host}"
    for peer in plan.peers:
        yield f"  peer  {peer.name:16} {peer.address:13} {peer.what}"


def event_lines(event: dict[str, Any]) -> Iterator[str]:
    """An event for people; errors are told at the end."""
    at = f"{event['at']:7.1f} s"
    if event["event"] == "phase":
        yield f"{at}  lab: {event['phase']}"
    elif event["event"] == "peer":
        yield f"{at}  {event['peer']}: {event['text']}"
    elif event["event"] == "node" and OWN_DOING not in event["text"]:
        # The console's own clock begins at power on: the lab's is enough.
        text = event["text"].partition(" s  ")[2] or event["text"]
        if event["state"] == "ready":
            yield f"{at}  {event['node']}: ready"
        elif text not in ("ready", "FAILED"):  # the agent's own line has said so
            yield f"{at}  {event['node']}: {event['state'] + ': ' if event['state'] else ''}{text}"


def status(state: State) -> dict[str, Any]:
    """Everything of a running lab.

    Raises:
        StepError: its supervisor does not answer.
    """
    plan = start.plan_of(state)
    told = control.ask(state.control, "status", seconds=30)
    groups = [Path(one) for one in state.asked()["cgroups"]]
    for name, node in told["nodes"].items():
        # A guest has what it was given.
        node["memory_mib"] = usage.memory_mib(groups, name) or plan.node(name).memory_mib
    return {
        "name": state.name,
        "folder": str(state.folder),
        "supervisor": state.supervisor,
        **told,
        "vips": {vip.name: {"address": vip.address4, "host": vip.host, "ports": [port.port for port in vip.ports]}
                 for vip in plan.vips},
    }


def show(told: dict[str, Any], as_json: bool) -> None:
    """The state of a lab."""
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"lab {told['name']}: {told['phase']}; process {told['supervisor']}, folder {told['folder']}")
    for name, node in told["nodes"].items():
        said = f"{node['memory_mib']:5} MiB  {node['said']}" if node["state"] != "off" else ""
        click.echo(f"  node  {name:16} {node['address']:13} {node['machine']:7} {node['state']:8} {said}".rstrip())
    for name, vip in told["vips"].items():
        click.echo(f"  vip   {name:16} {vip['address']:13} {', '.join(map(str, vip['ports'])):16} {vip['host']}")
    for name, runs in told["peers"].items():
        click.echo(f"  peer  {name:16} {'runs' if runs else 'stopped'}")


def log_of(state: State, name: str, console: bool) -> Path:
    """The file with what a node or peer says.

    Raises:
        InputError: there is no such node or peer, or it has none.
    """
    plan = start.plan_of(state)
    if name in [peer.name for peer in plan.peers]:
        # dnsmasq writes one of its own; the domain's has no end to its name.
        files = [state.folder / "peers" / name / file for file in ("queries", "log", f"{name}.log")]
        path = next((one for one in files if one.exists()), None)
        if path is None:
            raise InputError([f"lab: {name} writes no log"])
        return path
    path = state.node_folder(plan.node(name).name) / ("console" if console else "journal")
    if not path.exists():
        raise InputError([f"lab: {name} has said nothing yet"], "Its console: --console.")
    return path
