"""What a line of a log tells about a message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

# What happened. `DELIVERY` and `VERDICT` decide what became of a recipient; the rest tells the way.
CLIENT = "client"  # taken from a client: the queue id begins
LOCAL = "local"  # taken from a program of the node: the queue id begins
IDENTITY = "identity"  # the message id is known
ACTIVE = "active"  # sender, size, number of recipients
DELIVERY = "delivery"  # an attempt for one recipient, with its status
REJECT = "reject"  # refused during SMTP, for one recipient
BOUNCE = "bounce"  # the sender is told: another message
EXPIRED = "expired"  # given up
HELD = "held"
RELEASED = "released"
DELETED = "deleted"
DISCARDED = "discarded"
REMOVED = "removed"  # all recipients are done: the queue id ends
FILTER = "filter"  # what the content filter decided
STORED = "stored"  # what Dovecot did with it
WEBMAIL = "webmail"  # a user sent something there
NOTE = "note"


@dataclass(frozen=True)
class Said:
    """What a text tells, without when and where.

    Attributes:
        queue_id: of the message on the node; empty if the line does not say.
        recipient, original: address, and the one that it was before it was rewritten (a list's).
        status: of a delivery: sent, deferred, bounced...; of a rejection the SMTP code; of a filter PASSED or BLOCKED.
        dsn: enhanced status code, `4.2.2`.
        words: what happened, for people; of a delivery the remote's own words.
        delay: in seconds, since the message came to the node; None if not said.
        message_id: with its angle brackets.
        next_id: queue id at the next hop.
        previous_id: queue id that it had before, on this node.
        session: Dovecot's; its lines and Postfix's answer have it in common.
        next_session: Dovecot's on the server that it passed the message on to.
        place: quarantine file, or mailbox.
    """

    kind: str
    queue_id: str = ""
    recipient: str = ""
    original: str = ""
    status: str = ""
    dsn: str = ""
    words: str = ""
    relay: str = ""
    delay: float | None = None
    message_id: str = ""
    next_id: str = ""
    previous_id: str = ""
    session: str = ""
    next_session: str = ""
    place: str = ""
    user: str = ""


@dataclass(frozen=True)
class Event:
    """What was said, when, where and by whom.

    Attributes:
        node: empty where neither the line nor its file names one.
        text: of the line, as it stands in the log.
        order: number of the file, and place of the line in it.
    """

    node: str
    time: datetime
    daemon: str
    pid: str
    said: Said
    text: str
    order: tuple[int, int]
