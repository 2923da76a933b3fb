"""The tables of docs/faults.md: each row names a test that exists, and no step of the agent is left out."""

from __future__ import annotations

import ast

import pytest
from project import ROOT

PAGE = ROOT / "docs" / "faults.md"
STATUSES = {"0", "1", "2", "130"}


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its two head rows."""
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


EVERY = [*rows("A boot"), *rows("Leaving")]


def steps(module: str) -> set[str]:
    """Names of the steps that a module of the agent lists."""
    tree = ast.parse((ROOT / "firstboot" / "mailimg_firstboot" / module).read_text(encoding="utf-8"))
    return {
        str(node.args[0].value) for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Step"
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize("row", EVERY, ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_row_is_shown_by_a_test(row: list[str]) -> None:
    assert len(row) == 5
    assert row[3] in STATUSES
    module, _, name = row[4].partition("::")
    tree = ast.parse((ROOT / "tests" / module).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("heading", "module"), [("A boot", "engine.py"), ("Leaving", "leaving.py")])
def test_no_step_is_left_out(heading: str, module: str) -> None:
    assert len(steps(module)) > 5, "the search for steps finds too little"
    assert steps(module) <= {name for row in rows(heading) for name in row[0].split(", ")}
