"""The package list of a tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailimg import packages, process
from mailimg.packages import Package

ANSWER = (
    "ii \tpostfix\t3.7.11-0+deb12u1\tamd64\tpostfix\t3.7.11-0+deb12u1\t4046\n"
    "rc \texim4-base\t4.96-15\tamd64\texim4\t4.96-15\t2000\n"
    "ii \tlibc6:amd64\t2.36-9\tamd64\tglibc\t2.36-9\t12986\n"
    "ii \tbase-passwd\t3.6.1\tamd64\tbase-passwd\t3.6.1\t\n"
)


def test_installed_packages_by_name() -> None:
    assert packages.parse_dpkg(ANSWER) == [
        Package("base-passwd", "3.6.1", "amd64", "base-passwd", "3.6.1", 0),
        Package("libc6:amd64", "2.36-9", "amd64", "glibc", "2.36-9", 12986),
        Package("postfix", "3.7.11-0+deb12u1", "amd64", "postfix", "3.7.11-0+deb12u1", 4046),
    ]
    assert packages.parse_dpkg("") == []


def test_the_tree_is_asked_not_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    class Answer:
        stdout = ANSWER

    def run(argv: list[str], **_words: object) -> type[Answer]:
        asked.append(argv)
        return Answer

    monkeypatch.setattr(process, "run", run)
    assert len(packages.read_dpkg(Path("/srv/tree"))) == 3
    assert asked[0][:2] == ["dpkg-query", "--admindir=/srv/tree/var/lib/dpkg"]
    shown = asked[0][-1].removeprefix("--showformat=")
    assert shown.count("\t") == ANSWER.splitlines()[0].count("\t"), "as many fields asked for as are parsed"
    assert shown.endswith("\n")
