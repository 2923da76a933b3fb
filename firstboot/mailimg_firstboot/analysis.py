"""Where the time of a run went: from its events to lines for a person."""

from typing import Any, Dict, List, Sequence

from mailimg_firstboot import graph
from mailimg_firstboot.graph import Part, Span

Event = Dict[str, Any]


def lines(events: Sequence[Event]) -> List[str]:
    """The events of a run, the first of which is `begin`, as lines; steps in the order in which they ended."""
    begin = events[0]
    told = ["{:8.2f} s  kernel to agent".format(begin["uptime"])]
    running = [one for one in events if one["event"] == "plan"]
    if running:
        told.append("{:8.2f} s  metadata, documents, templates".format(running[0]["at"] - begin["at"]))
    for one in events:
        if one["event"] == "step" and one["state"] != "running":
            told.append("{:8.2f} s  step {} ({}{}{})".format(
                one["seconds"], one["name"], one["state"],
                ", {} attempts".format(one["attempts"]) if one["attempts"] > 1 else "", _waited(one)))
    told += critical(events)
    last = events[-1]
    end = last["state"] if last["event"] == "state" else "not ended yet"
    whole = begin["uptime"] + last["at"] - begin["at"]
    return [*told, "{:8.2f} s  in all, since the kernel started: {}".format(whole, end)]


def critical(events: Sequence[Event]) -> List[str]:
    """The chain of steps that decided the time: only what shortens one of these shortens the run."""
    parts: List[Part] = [(step["name"], step["after"]) for one in events if one["event"] == "plan"
                         for step in one["steps"]]
    ended = {one["name"]: one for one in events if one["event"] == "step" and one["state"] != "running"}
    begun = {one["name"]: one["at"] for one in events if one["event"] == "step" and one["state"] == "running"}
    spans = {name: Span(begun[name], one["at"]) for name, one in ended.items() if name in begun}
    path = graph.critical_path(parts, spans)
    if not path:
        return []
    told = ["{:8.2f} s  critical path:".format(spans[path[-1]].end - spans[path[0]].begin)]
    for name in path:
        told.append("{:10.2f} s  {}{}".format(ended[name]["seconds"], name, _waited(ended[name])))
    return told


def _waited(step: Event) -> str:
    return ", waited {:.2f} s".format(step["waited"]) if step["waited"] else ""
