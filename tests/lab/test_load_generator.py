"""The load generator against a server that takes, puts off, refuses and hangs up."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from mailimg.load import letters
from mailimg.load.generator import DOUBTFUL, UNANSWERED, Door, send
from mailimg.load.ledger import ledger

HOST = "127.0.0.1"


class Moody:
    """Answers by the letter's number."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.clients: set[tuple[str, int]] = set()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.clients.add(session.peer)
        (number,) = letters.numbers(envelope.content.decode("latin-1"), "ab12")
        if number % 5 == 1:
            return "451 4.3.0 later"
        if number % 5 == 2:
            return "554 5.7.1 never"
        self.kept.append(number)
        if number % 5 == 3:
            server.transport.abort()
        return "250 2.0.0 kept"


@pytest.fixture
def server() -> Iterator[tuple[Moody, int]]:
    """It, and its port."""
    moody = Moody()
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    controller = Controller(moody, hostname=HOST, port=port)
    controller.start()
    yield moody, port
    controller.stop()


def batch(count: int) -> list[letters.Letter]:
    return [letters.letter("ab12", number, "anna@example.org") for number in range(count)]


def test_every_answer_is_counted_as_it_was_given(server: tuple[Moody, int]) -> None:
    moody, port = server
    outcomes = send(batch(20), Door(HOST, port, connections=4, each=3, source=HOST))
    codes = {one.number: one.code for one in outcomes}
    assert [codes[number] for number in range(5)] == [250, 451, 554, DOUBTFUL, 250]
    assert len(codes) == len(outcomes) == 20
    # What was in doubt is there, once: neither lost nor invented.
    found = ledger(outcomes, moody.kept)
    assert found.whole
    assert (found.taken, found.doubtful, found.later, found.refused) == (8, 4, {451: 4}, {554: 4})


def test_a_stated_rate_is_kept(server: tuple[Moody, int]) -> None:
    _, port = server
    begun = time.time()
    outcomes = send(batch(10), Door(HOST, port, connections=3, source=HOST), rate=10)
    assert 0.9 <= time.time() - begun < 5
    due = sorted(one.due for one in outcomes)
    assert [round(later - sooner, 3) for sooner, later in itertools.pairwise(due)] == [0.1] * 9


def test_a_connection_carries_so_many_letters(server: tuple[Moody, int]) -> None:
    moody, port = server
    send([one for one in batch(30) if one.number % 5 == 0], Door(HOST, port, connections=1, each=2, source=HOST))
    assert len(moody.clients) == 3


def test_nobody_there_is_no_answer() -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        (one,) = send(batch(1), Door(HOST, free.getsockname()[1], source=HOST))
    assert one.code == UNANSWERED
    assert "Connect" in one.words
