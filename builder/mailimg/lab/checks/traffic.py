"""A steady flow through the whole platform: numbered messages by each way, logins, pages; and what each was answered.

A message is handed over once. So it must be there once if it was taken, and nowhere if it was not.
"""

from __future__ import annotations

import imaplib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mailimg.clients import letters, mailbox, smtp, web
from mailimg.clients.submission import Account, submit
from mailimg.errors import StepError
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench
from mailimg.lab.checks.mail import ANNA, BELA, FOREIGN, SENDER, VMAIL, homes

# Seconds from one attempt to the next, of each way: a steady flow, no load.
PAUSE, EMULATED_PAUSE = 0.4, 2.5
END_SECONDS = 150.0  # an answer that hangs
OK, NONE = "250", "none"
READ, SHOWN = "OK", "200"
SERVED = frozenset({OK, READ, SHOWN})
# What tells people or programs that they are wrong, when it is the platform that does not work.
HARD_WORDS = frozenset({"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "NONEXISTENT", "NO"})
ID = re.compile(r"<?(fault-[a-z0-9]+-[a-z]+-\d+)@")


@dataclass(frozen=True)
class Attempt:
    """One message, login or page.

    Attributes:
        way: as in `WAYS`.
        begun, ended: seconds, monotonic.
        code: of the answer: of SMTP and HTTP the number, of IMAP OK or the word in brackets; `none`: there was none.
        text: the answer.
        key: of a message: what its Message-ID begins with.
    """

    way: str
    begun: float
    ended: float
    code: str
    text: str
    key: str = ""

    @property
    def served(self) -> bool:
        """It worked."""
        return self.code in SERVED

    @property
    def hard(self) -> bool:
        """It was refused for good."""
        if self.way == "webmail":
            return self.code.startswith("4")
        return self.code in HARD_WORDS if self.way == "imap" else self.code.startswith("5")


def numbered(run: str, way: str, number: int, recipient: str, sender: str) -> tuple[str, letters.Letter]:
    """A message that is known by a number, and that number."""
    key = f"fault-{run}-{way}-{number}"
    head = letters.letter(f"{way} {number}", recipient, f"number {number}\r\n".encode(), sender=sender)
    content = head.content.replace(head.message_id.encode(), f"<{key}@{SENDER.partition('@')[2]}>".encode())
    return key, letters.Letter(f"<{key}@{SENDER.partition('@')[2]}>", content)


def code_of(reply: smtp.Reply) -> str:
    """The code of an SMTP answer; of a conversation that never was, none."""
    return str(reply.code) if reply.code > 0 else NONE


def word_of(error: Exception) -> str:
    """The code of an IMAP answer: the word in brackets, NO without one, BYE or none when the session ended."""
    if isinstance(error, OSError):
        return NONE
    if isinstance(error, imaplib.IMAP4.abort):
        return "BYE"
    found = re.search(r"\[([A-Z-]+)", str(error))
    return found[1] if found else "NO"


def inbound(bench: Bench, content: bytes) -> smtp.Reply:
    """From the Internet to the MX, for anna."""
    return smtp.deliver(bench.address("smtp-in"), at.SENDER4, SENDER, ANNA.mail, content)


def submission(bench: Bench, content: bytes) -> smtp.Reply:
    """From anna, who logs in at smtp-out, to the Internet."""
    return submit(587, bench.tls, Account(ANNA.login, bench.password), ANNA.mail, FOREIGN, content, source=at.HOME4,
                  server=bench.address("smtp-out"))


def delivery(bench: Bench, content: bytes) -> smtp.Reply:
    """From a server of the platform to the delivery layer, for bela."""
    return smtp.deliver(bench.address("delivery"), at.GATEWAY4, SENDER, BELA.mail, content)


MAIL: Mapping[str, tuple[Callable[[Bench, bytes], smtp.Reply], str, str]] = {
    "inbound": (inbound, SENDER, ANNA.mail),
    "submission": (submission, ANNA.mail, FOREIGN),
    "delivery": (delivery, SENDER, BELA.mail),
}
# Clients of several addresses come to several servers.
READERS = (at.HOME4, at.SENDER4, at.RECEIVER4, at.GATEWAY4)
WAYS = (*MAIL, "imap", "webmail")


def read_mail(bench: Bench, number: int) -> tuple[str, str]:
    """A login at IMAP that opens INBOX."""
    source = READERS[number % len(READERS)]
    try:
        with mailbox.imap(bench.tls, ANNA.login, bench.password, bench.address("imap"), source) as client:
            status, told = client.select("INBOX", readonly=True)
            if status != "OK":
                raise imaplib.IMAP4.error(str(told))
    except (imaplib.IMAP4.error, OSError) as error:
        return word_of(error), f"{type(error).__name__}: {error}"
    return READ, ""


def open_page(bench: Bench, number: int) -> tuple[str, str]:
    """A login at the webmail, and how many messages are unread, which it asks by IMAP."""
    del number
    address, host = bench.address("webmail"), bench.host("webmail")
    try:
        answer = web.ask(address, at.HOME4, host, "/SOGo/connect", authority=bench.state.authority,
                         document={"userName": ANNA.login, "password": bench.password})
        if answer.status == 200:
            cookies = re.findall(r"(?:^|, )((?:0xHIGHFLYxSOGo|XSRF-TOKEN)=[^;]*)", answer.headers.get("set-cookie", ""))
            path = f"/SOGo/so/{ANNA.login}/Mail/0/folderINBOX/unseenCount"
            answer = web.ask(address, at.HOME4, host, path, authority=bench.state.authority,
                             headers={"Cookie": "; ".join(cookies)})
    except StepError as error:
        return NONE, error.message
    return str(answer.status), answer.body[:200].decode(errors="replace")


class Traffic:
    """The flow, from `start` to `end`; each way in a thread of its own.

    Args:
        run: part of every number, so that runs are told apart; letters and digits.
    """

    def __init__(self, bench: Bench, run: str) -> None:
        self.bench, self.run = bench, run
        self.attempts: list[Attempt] = []
        # When what is under way began, by way.
        self.under_way: dict[str, float] = {}
        self.pause = EMULATED_PAUSE if bench.emulated else PAUSE
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._flow, args=(way,), daemon=True) for way in WAYS]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def end(self) -> list[Attempt]:
        """Stop, when what is under way has been answered.

        Raises:
            StepError: something is not.
        """
        self._ended.set()
        deadline = time.monotonic() + END_SECONDS
        for way, thread in zip(WAYS, self._threads, strict=True):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise StepError(f"faults: {way} has no answer after {END_SECONDS:g} s")
        return self.attempts

    def _flow(self, way: str) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            begun = self.under_way[way] = time.monotonic()
            self.attempts.append(self._attempt(way, number, begun))
            self._ended.wait(max(0.05, begun + self.pause - time.monotonic()))

    def _attempt(self, way: str, number: int, begun: float) -> Attempt:
        if way in MAIL:
            hand_over, sender, recipient = MAIL[way]
            key, sent = numbered(self.run, way, number, recipient, sender)
            reply = hand_over(self.bench, sent.content)
            return Attempt(way, begun, time.monotonic(), code_of(reply), str(reply), key)
        code, text = (read_mail if way == "imap" else open_page)(self.bench, number)
        return Attempt(way, begun, time.monotonic(), code, text)


def copies(bench: Bench, run: str) -> Counter[str]:
    """How often each message of a run is there: in mailboxes, and at the mail host of the Internet."""
    node = bench.first("pop-imap-lda")
    # The name of a message's file has its size; indexes and filters' logs have other names.
    told = node.ask([*VMAIL, "grep", "-roE", "--include=*,S=*", f"^Message-ID: <fault-{run}-[a-z]+-[0-9]+@",
                     *homes(bench, [ANNA.login, BELA.login])], check=False)
    found = Counter(ID.search(line)[1] for line in set(told.splitlines()))  # type: ignore[index]
    found.update(match[1] for one in bench.receiver.all()
                 if (match := ID.match(one.message_id)) and match[1].startswith(f"fault-{run}-"))
    return found


def misdelivered(attempts: Iterable[Attempt], found: Mapping[str, int], twice_until: float = 0.0) -> list[str]:
    """What is not there exactly once though it was taken, or is there though it was refused.

    A conversation that broke off may have ended after the message was taken: the sender sends it again, and whether it
    was there is told by nobody; so it may be there, but once.

    Args:
        found: copies, by key.
        twice_until: what began before may be there twice (`time.monotonic`).
    """
    wrong = []
    for one in attempts:
        if not one.key:
            continue
        there = found.get(one.key, 0)
        if there == 2 and one.served and one.begun < twice_until:
            continue
        if there > 1 or (one.served and there != 1) or (there and not one.served and one.code != NONE):
            wrong.append(f"{one.key}, answered {one.text!r}, is there {there} times")
    return wrong
