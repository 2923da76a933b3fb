"""Sends letters over a number of connections, as fast as they are taken or at a stated rate."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiosmtplib

from mailimg.load.letters import Letter
from mailimg.peers import addresses as at

SECONDS = 120.0  # for one answer
# Codes beside those of SMTP: nothing was taken because nobody answered; the answer to the whole letter is missing.
UNANSWERED, DOUBTFUL = 0, -1


@dataclass(frozen=True)
class Outcome:
    """What became of one letter at the door.

    Attributes:
        due: when it was to be sent, seconds of the wall clock; when it was sent, if there was no rate.
        seconds: from then to the answer that decided.
        code: that answer's; UNANSWERED or DOUBTFUL without one.
    """

    number: int
    due: float
    seconds: float
    code: int
    words: str = ""


@dataclass(frozen=True)
class Door:
    """Where letters are handed over, and how.

    Args:
        connections: at the same time.
        each: letters on one connection before it is closed.
        source: the address that connections come from; the system's choice if empty.
        tls: with it, STARTTLS; `address` must then be a name that the certificate has.
        login: of an account, if letters are taken from accounts only.
    """

    address: str
    port: int = 25
    connections: int = 10
    each: int = 10
    source: str = at.HOST4
    tls: ssl.SSLContext | None = None
    login: str = ""
    password: str = ""


def send(letters: Sequence[Letter], door: Door, rate: float = 0.0) -> list[Outcome]:
    """Hand over all letters, each once; one that is refused is not tried again.

    Args:
        rate: letters a second; 0: as fast as they are taken. A letter that had to wait for a free connection was
            waiting: its time counts from when it was due.
    """
    return asyncio.run(_send(letters, door, rate))


async def _send(letters: Sequence[Letter], door: Door, rate: float) -> list[Outcome]:
    queue = iter(enumerate(letters))
    start = time.time()
    outcomes: list[Outcome] = []

    async def hand_over() -> None:
        client: aiosmtplib.SMTP | None = None
        used = 0
        for index, letter in queue:
            due = time.time()
            if rate:
                due = start + index / rate
                await asyncio.sleep(due - time.time())
            if client is None or used >= door.each:
                await _close(client)
                client, used = _client(door), 0
            code, words = await _one(client, letter)
            used += 1
            outcomes.append(Outcome(letter.number, due, time.time() - due, code, words))
            if not client.is_connected:
                client = None
        await _close(client)

    await asyncio.gather(*(hand_over() for _ in range(min(door.connections, len(letters)))))
    return outcomes


def _client(door: Door) -> aiosmtplib.SMTP:
    source = (door.source, 0) if door.source else None
    return aiosmtplib.SMTP(hostname=door.address, port=door.port, timeout=SECONDS, source_address=source,
                           local_hostname=at.SENDER_NAME, use_tls=False, start_tls=door.tls is not None,
                           tls_context=door.tls, username=door.login or None, password=door.password or None)


async def _one(client: aiosmtplib.SMTP, letter: Letter) -> tuple[int, str]:
    """The code and words of the answer that decided."""
    whole = False
    try:
        if not client.is_connected:
            await client.connect()
        await client.mail(letter.sender, options=["BODY=8BITMIME"])
        await client.rcpt(letter.recipient)
        whole = True
        answer = await client.data(letter.content)
    except aiosmtplib.SMTPResponseException as error:
        # After a refusal the session may go on only from its beginning.
        await _close(client)
        return error.code, error.message
    except (aiosmtplib.SMTPException, OSError) as error:
        client.close()
        return DOUBTFUL if whole else UNANSWERED, f"{type(error).__name__}: {error}"
    return answer.code, answer.message


async def _close(client: aiosmtplib.SMTP | None) -> None:
    if client is None or not client.is_connected:
        return
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError):
        client.close()
