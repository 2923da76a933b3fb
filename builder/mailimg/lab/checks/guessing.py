"""Passwords are not guessed quickly; part of `safety`."""

from __future__ import annotations

import imaplib
import poplib
import time
from collections.abc import Callable

from mailimg.clients import mailbox, submission, web
from mailimg.clients.managesieve import ManageSieve, SieveError
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed
from mailimg.lab.checks.mail import ANNA, CARLA

# Seconds that a wrong password takes at least; of submission, from the third on in one session.
DELAY = 1.0
GUESSES = 5
# Wrong passwords of one account that the webmail looks at in a minute (roles/sogo/templates/sogo.conf.j2).
WEBMAIL_GUESSES = 20


def guessing_is_slow(bench: Bench) -> str:
    """Each wrong password costs time, and the right one, from the same address, does not."""
    def sieve() -> None:
        with ManageSieve(bench.host("imap")) as client:
            client.starttls(bench.tls)
            client.login(ANNA.login, "wrong")

    def imap() -> None:
        with mailbox.imap(bench.tls, ANNA.login, "wrong", bench.host("imap"), at.HOME4):
            pass

    def pop3() -> None:
        with mailbox.pop3(bench.tls, ANNA.login, "wrong", bench.host("pop")):
            pass

    usual = logged_in(bench)
    took = {name: min(refused(guess), refused(guess)) for name, guess in (
        ("IMAP", imap), ("POP3", pop3), ("ManageSieve", sieve))}
    with submission.session(587, bench.tls, at.HOME4, bench.host("smtp-out")) as client:
        for _ in range(2):
            client.docmd("AUTH", "PLAIN AGFubmEAeA==")
        begun = time.monotonic()
        codes = [client.docmd("AUTH", "PLAIN AGFubmEAeA==")[0] for _ in range(2)]
        took["submission, each further one in a session"] = (time.monotonic() - begun) / 2
    if codes != [535, 535]:
        raise CheckFailed(f"submission: expected 535, got {codes}")
    slow = {name: seconds for name, seconds in took.items() if seconds < DELAY}
    if slow:
        raise CheckFailed(f"not slowed: {', '.join(f'{name} {seconds:.2f} s' for name, seconds in slow.items())}")
    each = 0.0
    for _ in range(GUESSES):
        begun = time.monotonic()
        with submission.session(587, bench.tls, at.HOME4, bench.host("smtp-out")) as client:
            client.docmd("AUTH", "PLAIN AGFubmEAeA==")
            each += (time.monotonic() - begun) / GUESSES
            client.close()  # who guesses does not wait for QUIT's answer
    right = logged_in(bench)
    bench.figures.update({f"safety: a wrong password, {name}, s": round(seconds, 2) for name, seconds in took.items()})
    bench.figures["safety: a wrong password, submission, a session each, s"] = round(each, 2)
    # Where the servers are emulated, any login takes seconds.
    if right > usual + DELAY:
        raise CheckFailed(f"the right password takes {right:.1f} s after wrong ones, and {usual:.1f} s before them")
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    return f"{told}, in a new session {each:.2f} s (what limits that is the directory's lock-out); right {right:.1f} s"


def logged_in(bench: Bench) -> float:
    """Seconds that the right password takes at IMAP."""
    begun = time.monotonic()
    with mailbox.imap(bench.tls, ANNA.login, bench.password, bench.host("imap"), at.HOME4):
        return time.monotonic() - begun


def refused(guess: Callable[[], None]) -> float:
    """Seconds until a wrong password was refused."""
    begun = time.monotonic()
    try:
        guess()
    except (imaplib.IMAP4.error, poplib.error_proto, SieveError):
        return time.monotonic() - begun
    raise CheckFailed("a wrong password was taken")


def webmail_refuses(bench: Bench) -> str:
    """After too many wrong passwords the right one is refused as well; other people do not notice."""
    def login(name: str, password: str) -> int:
        return web.ask(bench.address("webmail"), at.HOME4, bench.host("webmail"), "/SOGo/connect",
                       authority=bench.state.authority, document={"userName": name, "password": password}).status

    begun = time.monotonic()
    codes = {login(CARLA.login, "wrong") for _ in range(WEBMAIL_GUESSES)}
    right, other = login(CARLA.login, bench.password), login(ANNA.login, bench.password)
    if (codes, right, other) != ({403}, 403, 200):
        raise CheckFailed(f"wrong {codes}, then right {right}, of somebody else {other}")
    return f"{WEBMAIL_GUESSES} wrong ones in {time.monotonic() - begun:.1f} s: right {right}, of somebody else {other}"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("guessing passwords is slow", guessing_is_slow),
    ("guessing at the webmail is refused", webmail_refuses),
)
