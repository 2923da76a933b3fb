"""Letters that can be told apart: each has the number of its run and its own in its Message-ID."""

from __future__ import annotations

import base64
import email.utils
import random
import re
from dataclasses import dataclass

from mailimg.peers import addresses as at

SENDER = f"load@{at.SENDER_DOMAIN}"
NUMBER = re.compile(r"<load\.([0-9a-f]+)\.(\d+)@")

# One letter in ATTACHED has an attachment of as many bytes; the text has WORDS words, 4 KiB.
ATTACHED, ATTACHMENT, WORDS = 4, 24_576, 640
# Chance may begin an attachment like a program, which the filter would keep.
BEGINNING = b"figures of a load run\n"
SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sta", "ver", "ton", "bel", "dro", "fin", "gar", "hes", "jun", "pol", "wan")


@dataclass(frozen=True)
class Letter:
    """One of a run's letters; `content` has CRLF line ends."""

    run: str
    number: int
    recipient: str
    content: bytes
    sender: str = SENDER


def letter(run: str, number: int, recipient: str, attachment: int = ATTACHMENT, sender: str = SENDER) -> Letter:
    """The letter of that number, the same bytes whenever it is asked for on the same day.

    Three of four are text of 4 KiB; the fourth has HTML and an attachment, 38 KiB in all.

    Args:
        attachment: bytes of the attachment; one of another size than the usual is in every letter.
    """
    dice = random.Random(f"{run}.{number}")  # noqa: S311 - words, not secrets
    lines = [" ".join(_word(dice) for _ in range(10)) for _ in range(WORDS // 10)]
    head = [
        f"From: Load <{sender}>", f"To: <{recipient}>", f"Subject: {_word(dice)} {_word(dice)} {number}",
        f"Date: {email.utils.formatdate()}", f"Message-ID: <load.{run}.{number}@{at.SENDER_DOMAIN}>",
        "MIME-Version: 1.0",
    ]
    if number % ATTACHED and attachment == ATTACHMENT:
        head.append("Content-Type: text/plain; charset=us-ascii")
        return Letter(run, number, recipient, "\r\n".join([*head, "", *lines, ""]).encode(), sender)
    limit = f"load-{run}-{number}"
    html = [f"<p>{line}</p>" for line in lines[:16]]
    data = base64.encodebytes(BEGINNING + dice.randbytes(attachment)).decode().split()
    body = [
        *head, f'Content-Type: multipart/mixed; boundary="{limit}"', "",
        f"--{limit}", "Content-Type: text/plain; charset=us-ascii", "", *lines,
        f"--{limit}", "Content-Type: text/html; charset=us-ascii", "", "<html><body>", *html, "</body></html>",
        f"--{limit}", 'Content-Type: application/octet-stream; name="report.dat"',
        'Content-Disposition: attachment; filename="report.dat"', "Content-Transfer-Encoding: base64", "", *data,
        f"--{limit}--", "",
    ]
    return Letter(run, number, recipient, "\r\n".join(body).encode(), sender)


def numbers(text: str, run: str) -> list[int]:
    """Numbers of the run's letters whose Message-IDs stand in a text, as often as they do."""
    return [int(number) for of, number in NUMBER.findall(text) if of == run]


def _word(dice: random.Random) -> str:
    return "".join(dice.choice(SYLLABLES) for _ in range(dice.randint(1, 3)))
