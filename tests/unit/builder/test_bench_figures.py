"""The arithmetic of the benchmark's tables; no time is measured here."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import yardstick
from figures import GIB, MIB, Figures, Row, document, report

PLAIN = Row("plain", 200.0, 400 * MIB, GIB, GIB)
FIGURES = Figures(
    yardstick=PLAIN,
    one=Row("one", 100.0, 200 * MIB, GIB, 2 * GIB),
    every=Row("all", 300.0, 1000 * MIB, 3 * GIB, 6000 * MIB),
    unchanged=Row("unchanged", 0.9, 1000 * MIB, 50 * MIB, 0),
    template=Row("template", 20.0, 200 * MIB, GIB, 0),
    package=Row("package", 90.0, 200 * MIB, GIB, 0),
)


def test_targets_are_ratios_to_the_yardstick() -> None:
    assert [round(target.value, 3) for target in FIGURES.targets] == [1.5, 0.9, 0.1, 0.45, 0.5, 3.0, 6.0]
    assert [target.met for target in FIGURES.targets] == [True, True, True, False, True, True, True]


def test_memory_counts_our_runs_and_not_the_yardstick() -> None:
    heavy = dataclasses.replace(FIGURES, yardstick=dataclasses.replace(PLAIN, memory_bytes=9 * GIB))
    assert heavy.targets[5].value == 3.0


def test_tables() -> None:
    text = report(FIGURES, ["a note"])
    assert "| all | 300.0 | 1.50 | 1000 | 3072 | 6000 |" in text
    assert "| one package added: seconds / yardstick | 0.45 | 0.4 | NO |" in text
    assert text.endswith("- a note")
    assert len({line.count("|") for line in text.split("\n\n")[0].splitlines()}) == 1


def test_document_is_json_and_names_every_run() -> None:
    made = json.loads(json.dumps(document(FIGURES, [])))
    assert made["runs"]["template"]["ratio"] == 0.1
    assert list(made["runs"]) == [field.name for field in dataclasses.fields(Figures)]


def test_packages_of_an_element_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "package-installs.yaml").write_text("a:\nb: {uninstall: true}\nc:\nd:\n")
    pkg_map = {"family": {"debian": {"a": "a1 a2", "c": ""}}, "distro": {"debian": {"d": "dd"}}, "default": {"d": "x"}}
    (tmp_path / "pkg-map").write_text(json.dumps(pkg_map))
    assert yardstick.element_packages(tmp_path, "debian", "debian") == ["a1", "a2", "dd"]
