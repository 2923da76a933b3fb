"""A verification in words for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from mailimg.verify.values import CheckResult, VerifyResult


def check_line(check: CheckResult) -> str:
    """One check in one line; of a long detail the first line."""
    first = check.detail.splitlines()[0] if check.detail else ""
    return f"{check.seconds:7.1f} s  {'ok    ' if check.ok else 'FAILED'} {check.name}: {first}"


def result_table(result: VerifyResult) -> Table:
    """The result as a table."""
    verdict = "proved" if result.ok else "NOT proved"
    table = Table(title=f"{result.role} by {result.backend}: {verdict}", title_justify="left")
    table.add_column("check")
    table.add_column("", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("detail", overflow="fold")
    for check in result.checks:
        # Text: what a daemon answered may look like markup.
        word = Text("ok", "green") if check.ok else Text("FAILED", "bold red")
        table.add_row(Text(check.name), word, f"{check.seconds:.1f}", Text(check.detail))
    return table


def phase_line(result: VerifyResult) -> str:
    """Where the time of the boot went: `kernel 3.1 s, init 5.0 s, ready 61.2 s`."""
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.phases.items()) or "no phase was reached"


WORDS = {
    "agent_says": "the agent's start to its first word", "agent_plans": "the agent's start to its first step",
    "ready": "network up to the last step", "agent_cpu": "processor time of the agent and its programs",
    "unchanged": "a run that changes nothing", "leave": "leaving",
    "metrics": "one collection of metrics", "metrics_cpu": "processor time of one collection of metrics",
}


def figure_lines(figures: Mapping[str, float]) -> list[str]:
    """What was measured, a line each."""
    return [f"{figures[name]:7.2f} s  {words}" for name, words in WORDS.items() if name in figures]
