"""Messages that a verification sends. The test strings are put together here, so that no scanner stops this file."""

from __future__ import annotations

import base64
import email.utils
import secrets
from dataclasses import dataclass

from mailimg.peers import addresses as at

# https://www.eicar.org/download-anti-malware-testfile/ and https://spamassassin.apache.org/gtube/
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-" + "TEST-FILE!$H+H*"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-" + "TEST-EMAIL*C.34X"

SENDER = f"sender@{at.SENDER_DOMAIN}"
LINE = 998  # RFC 5322, 2.1.1: octets a line may have without its CRLF


@dataclass(frozen=True)
class Letter:
    """A message with its Message-ID; `content` has CRLF line ends."""

    message_id: str
    content: bytes

    @property
    def body(self) -> bytes:
        """Everything after the header."""
        return self.content.partition(b"\r\n\r\n")[2]


def letter(subject: str, recipient: str, body: bytes, *headers: str, sender: str = SENDER) -> Letter:
    """A message around a body that already has CRLF line ends."""
    message_id = f"<{secrets.token_hex(12)}@{at.SENDER_DOMAIN}>"
    head = [
        f"From: Sender <{sender}>", f"To: {recipient}", f"Subject: {subject}",
        f"Date: {email.utils.formatdate()}", f"Message-ID: {message_id}", "MIME-Version: 1.0", *headers,
    ]
    return Letter(message_id, "\r\n".join(head).encode() + b"\r\n\r\n" + body)


def clean(recipient: str, sender: str = SENDER) -> Letter:
    """A letter whose body meets everything that relays like to change: 8 bit, long lines, dots, blanks, `From `."""
    lines = [
        "Grüße aus Győr: der Bericht für März ist fertig, Zahlen wie besprochen.",
        "From the start of a line",
        ".a dot at the start of a line", ".", "..", "trailing blanks   ", "\ttab", "",
        ("long line " * LINE)[:LINE],
        ("é" * LINE)[: LINE // 2],
        "-- ", "end",
    ]
    body = "\r\n".join(lines).encode() + b"\r\n"
    return letter("Bericht Maerz", recipient, body, "Content-Type: text/plain; charset=utf-8",
                  "Content-Transfer-Encoding: 8bit", sender=sender)


def spam(recipient: str) -> Letter:
    """GTUBE: every SpamAssassin scores it 1000."""
    return letter("offer", recipient, f"{GTUBE}\r\n".encode(), "Content-Type: text/plain; charset=us-ascii")


def virus(recipient: str) -> Letter:
    """EICAR as an attachment whose name is not banned, so that only the virus scanner can find it."""
    boundary = "mailimg-boundary"
    body = "\r\n".join([
        f"--{boundary}", "Content-Type: text/plain; charset=us-ascii", "", "see the attachment",
        f"--{boundary}", 'Content-Type: application/octet-stream; name="report.dat"',
        'Content-Disposition: attachment; filename="report.dat"', "Content-Transfer-Encoding: base64", "",
        base64.b64encode(EICAR.encode()).decode(), f"--{boundary}--", "",
    ])
    return letter("report", recipient, body.encode(), f'Content-Type: multipart/mixed; boundary="{boundary}"')
