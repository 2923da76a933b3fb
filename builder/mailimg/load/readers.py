"""People who read: each logs in over TLS, opens a folder, fetches, keeps a message, and does so again."""

from __future__ import annotations

import imaplib
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mailimg.clients import mailbox

STEPS = ("login", "select", "fetch", "append")
FOLDER = "Sent"


@dataclass(frozen=True)
class Reading:
    """Seconds of each step that was done, by its name, and what was answered with no."""

    times: dict[str, list[float]]
    refused: tuple[str, ...]
    seconds: float

    @property
    def sessions(self) -> int:
        """That got to their end."""
        return len(self.times[STEPS[-1]])


def read(server: str, tls: ssl.SSLContext, password: str, logins: Sequence[str], rounds: int, kept: bytes) -> Reading:
    """All at the same time, one connection each, a session after the other.

    Args:
        server: by the name in its certificate.
        password: of everybody.
        rounds: sessions of each.
        kept: the message that is appended, with CRLF line ends.
    """
    times: dict[str, list[float]] = {step: [] for step in STEPS}
    refused: list[str] = []

    def person(login: str) -> None:
        for _ in range(rounds):
            try:
                _session(server, tls, password, login, kept, lambda step, seconds: times[step].append(seconds))
            except (imaplib.IMAP4.error, OSError) as error:
                refused.append(f"{login}: {error}")

    begun = time.monotonic()
    with ThreadPoolExecutor(len(logins)) as pool:
        list(pool.map(person, logins))
    return Reading(times, tuple(refused), time.monotonic() - begun)


def _session(server: str, tls: ssl.SSLContext, password: str, login: str, kept: bytes,
             took: Callable[[str, float], None]) -> None:
    last = time.monotonic()

    def lap(step: str) -> None:
        nonlocal last
        now = time.monotonic()
        took(step, now - last)
        last = now

    with mailbox.imap(tls, login, password, server) as client:
        lap("login")
        answer = client.select("INBOX")
        _yes(answer)
        lap("select")
        count = int(answer[1][0] or b"0")
        if count:
            _yes(client.fetch(str(count), "(FLAGS BODY.PEEK[])"))
        lap("fetch")
        _yes(client.append(FOLDER, "", imaplib.Time2Internaldate(time.time()), kept))
        lap("append")


def _yes(answer: tuple[str, object]) -> None:
    if answer[0] != "OK":
        raise imaplib.IMAP4.error(f"{answer[0]} {answer[1]}")
