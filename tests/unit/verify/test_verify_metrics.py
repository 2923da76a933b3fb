"""A node's metrics as a verification reads them, and what it holds against a node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mailimg.verify import metrics
from mailimg.verify.metrics import Figures
from mailimg.verify.scenarios import CheckFailed

TEXT = """\
# HELP mailimg_up 1: it answers
# TYPE mailimg_up gauge
mailimg_up{check="clamd"} 0
mailimg_up{check="smtp"} 1
# HELP mailimg_memcached_gets_total Look-ups
# TYPE mailimg_memcached_gets_total counter
mailimg_memcached_gets_total{result="hit"} 5
# HELP mailimg_quarantine_messages Messages
# TYPE mailimg_quarantine_messages gauge
mailimg_quarantine_messages 3
"""


def test_values() -> None:
    figures = Figures(TEXT)
    assert figures.by("up", "check") == {"clamd": 0, "smtp": 1}
    assert figures.value("up", check="smtp") == 1
    assert figures.value("memcached_gets_total", result="hit") == 5
    assert figures.value("quarantine_messages") == 3


@pytest.mark.parametrize(("name", "labels"), [("up", {}), ("up", {"check": "imap"}), ("sogo_workers", {})])
def test_a_value_that_is_missing(name: str, labels: dict[str, str]) -> None:
    with pytest.raises(CheckFailed, match=f"0 samples of mailimg_{name}"):
        Figures(TEXT).value(name, **labels)


@pytest.mark.parametrize("text", ["mailimg_up{check=clamd} 1\n", 'mailimg_up{check="clamd"} one\n', "mailimg_up{\n"])
def test_another_format(text: str) -> None:
    with pytest.raises(CheckFailed, match="is not in Prometheus' format"):
        Figures(text)


@pytest.mark.parametrize(("line", "words"), [
    ("", []),
    ('mailimg_up{check="scanna"} 1\n', []),
    ('mailimg_dovecot_sessions{user="anna"} 1\n', ["anna"]),
    ('mailimg_up{check="bela.b@example.org"} 1\n', ["bela.b@example.org"]),
    ('mailimg_up{check="s3cret"} 1\n', ["s3cret"]),
])
def test_who_is_named(line: str, words: list[str]) -> None:
    bench: Any = SimpleNamespace(directory=SimpleNamespace(password="s3cret"))
    found = metrics.named(bench, Figures(TEXT + line))
    assert [word for word in words if word not in found] == []
    assert bool(found) == bool(words)
