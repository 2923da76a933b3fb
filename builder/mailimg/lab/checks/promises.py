"""What each way through the platform answers while a dependency is away: the promise, as a table; `faults` proves it.

The codes are those of the protocol: of SMTP and HTTP the number; of IMAP `OK`, or the word in brackets of RFC 5530.
`none`: no conversation, because the load balancer has no member left. Whatever is 4xx or none, the sender tries again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailimg.lab.checks.traffic import MAIL, NONE, OK, READ, SHOWN, WAYS, Attempt

UNDISTURBED: Mapping[str, tuple[str, ...]] = {**dict.fromkeys(MAIL, (OK,)), "imap": (READ,), "webmail": (SHOWN,)}
# The way's column in the documentation: role, and what is done there.
COLUMNS = {
    "inbound": "smtp-in: mail from the Internet",
    "submission": "smtp-out: a user's mail",
    "delivery": "pop-imap-lda: mail of the other roles",
    "imap": "pop-imap-lda: IMAP",
    "webmail": "sogo: login, unread mail",
}
LATE = "535"


@dataclass(frozen=True)
class Promise:
    """What is answered while one dependency is away.

    Attributes:
        what: the dependency and how it goes, for the documentation.
        answers: codes by way, each of which may be seen; a way that is not here is not disturbed.
        note: what happens to mail that is taken, or why it is so.
        twice: a message may be there twice: it was handed on, and the word that it was is lost.
        held: ways whose mail waits: nothing that is handed over while it is away arrives before it is back.
        late_logins: a session that was greeted before the end may be told 535 after it: saslauthd knows no other no.
    """

    what: str
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""
    late_logins: bool = False
    twice: bool = False
    held: tuple[str, ...] = ()

    def codes(self, way: str) -> tuple[str, ...]:
        """What a way may answer."""
        return self.answers.get(way, UNDISTURBED[way])


QUEUED = "What is taken waits in the queue."
PROMISES: Mapping[str, Promise] = {
    "directory": Promise(
        "domain controller ended",
        {"inbound": ("451",), "submission": ("451", NONE), "delivery": ("451",), "imap": ("UNAVAILABLE",),
         "webmail": ("403",)},
        "The balancer takes smtp-out out, whose greeting is 451. sogod calls every login wrong.", late_logins=True),
    "directory, silent": Promise(
        "domain controller does not answer, nor refuse",
        {"inbound": ("451",), "submission": ("451", NONE), "delivery": ("451",), "imap": (READ, "UNAVAILABLE"),
         "webmail": ("403",)},
        "Answers take 5 s. Who logs in at IMAP as it falls silent waits for a minute.", late_logins=True),
    "DNS": Promise(
        "name server ended, caches empty, saslauthd's connections ended",
        {"inbound": (OK, "451", NONE), "submission": ("451", NONE), "delivery": (OK, "451", NONE),
         "imap": (READ, "UNAVAILABLE"), "webmail": ("403",)},
        "Who has a connection to the directory goes on, slowly; the balancer may take out who greets late. " + QUEUED,
        late_logins=True),
    "storage, read-only": Promise("`/MAILBOXES` read-only on both servers", {}, QUEUED),
    "storage, gone": Promise(
        "nothing mounted at `/MAILBOXES` on both servers",
        {"delivery": (OK, "450"), "imap": ("SERVERBUG", "UNAVAILABLE")},
        "Nobody can say whether a mailbox is full: 450. " + QUEUED),
    "clamd": Promise("clamd of smtp-in stopped", {}, "What is taken waits before the filter; nothing passes it by.",
                     held=("inbound",)),
    "clamd, outwards": Promise("clamd of smtp-out stopped", {"submission": ("451",)}, "At the end of DATA."),
    "amavis": Promise("amavis stopped", {}, "What is taken waits before the filter. What it was about to hand back as "
                      "it was stopped arrives twice.", twice=True, held=("inbound",)),
    "saslauthd": Promise("saslauthd stopped", {"submission": ("454",)}, "At AUTH."),
    "OpenDKIM": Promise("OpenDKIM stopped", {"submission": ("451", "454", NONE)}, "Nothing leaves unsigned."),
    "MariaDB": Promise("MariaDB of sogo stopped", {"webmail": (SHOWN, "500", "501", "503")},
                       "Who is known to memcached goes on."),
    "memcached": Promise("memcached of sogo stopped"),
    "the other pop-imap-lda": Promise(
        "one of the two mailbox servers without power", {"imap": (READ, "UNAVAILABLE")},
        "Its users cannot log in, and their mail waits in the queue, for up to a minute: then the other works for "
        "them. What it had taken comes when it is back; what it was filing as the power went is filed again.",
        # Postfix writes that a message is delivered without waiting for the disk.
        twice=True),
}


@dataclass(frozen=True)
class Times:
    """When a dependency went and came back, as `time.monotonic`.

    Attributes:
        stopping, away: from when on it went, and was gone.
        returning, back: from when on it came, and was there.
    """

    stopping: float
    away: float
    returning: float
    back: float


def broken(promise: Promise, attempts: Iterable[Attempt], times: Times) -> list[str]:
    """What was answered otherwise than promised.

    Inside the outage only the promised answers count. Around it, others that are temporary are good as well.
    """
    wrong = []
    for one in attempts:
        promised = promise.codes(one.way)
        late = promise.late_logins and one.code == LATE and one.begun < times.away
        inside = one.begun >= times.away and one.ended <= times.returning
        if one.code in promised or late or (not inside and not one.hard):
            continue
        when = f"{one.begun - times.away:+.1f} s"
        wrong.append(f"{one.way}, {when}: {one.code}, promised {'/'.join(promised)}: {one.text}")
    return wrong


def within(attempts: Iterable[Attempt], away: float, until: float) -> dict[str, list[Attempt]]:
    """By way, what began and was answered while it was away: only that is held against the promise."""
    found: dict[str, list[Attempt]] = {way: [] for way in WAYS}
    for one in attempts:
        if one.begun >= away and one.ended <= until:
            found[one.way].append(one)
    return found


def seen(attempts: Sequence[Attempt], times: Times) -> dict[str, tuple[str, ...]]:
    """Codes by way of what met the outage, in the order in which they came; some waited for its end."""
    met = [one for one in attempts if one.ended >= times.away and one.begun < times.returning]
    return {way: tuple(dict.fromkeys(one.code for one in met if one.way == way)) for way in WAYS}


def table() -> str:
    """The promises as a table in Markdown."""
    lines = ["| away | " + " | ".join(COLUMNS[way] for way in WAYS) + " | |", "|---" * (len(WAYS) + 2) + "|"]
    for name, promise in PROMISES.items():
        cells = [" / ".join(promise.codes(way)) for way in WAYS]
        lines.append(f"| **{name}**: {promise.what} | " + " | ".join(cells) + f" | {promise.note} |")
    return "\n".join(lines)


def document() -> dict[str, dict[str, list[str]]]:
    """The same for JSON: codes by dependency and way."""
    return {name: {way: list(promise.codes(way)) for way in WAYS} for name, promise in PROMISES.items()}
