"""An SMTP client that says exactly what it was answered, and from which address it asks."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

from mailimg.peers import addresses as at

CONNECT_SECONDS = 15.0
SECONDS = 120.0  # for one answer; a policy service or a filter of an emulated node takes its time


@dataclass(frozen=True)
class Reply:
    """The answer that decided: the first that is not 2xx, or the last."""

    stage: str
    code: int
    text: str

    @property
    def taken(self) -> bool:
        """The server said yes to everything."""
        return 200 <= self.code < 300

    @property
    def temporary(self) -> bool:
        """The sender shall try again later."""
        return 400 <= self.code < 500

    @property
    def refused(self) -> bool:
        """The server said no for good."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        return f"{self.stage}: {self.code} {self.text}"


@contextlib.contextmanager
def session(address: str, source: str, name: str = at.SENDER_NAME) -> Iterator[smtplib.SMTP]:
    """A greeted connection to port 25."""
    with smtplib.SMTP(address, 25, local_hostname=name, timeout=CONNECT_SECONDS, source_address=(source, 0)) as client:
        assert client.sock is not None  # noqa: S101 - tells mypy that the connection is there
        client.sock.settimeout(SECONDS)
        client.ehlo()
        yield client


def ask(address: str, source: str, sender: str, recipient: str) -> Reply:
    """Whether a recipient would be taken; no message is sent."""
    return deliver(address, source, sender, recipient, None)


def deliver(address: str, source: str, sender: str, recipient: str, content: bytes | None) -> Reply:
    """Send a message (or, without content, stop after the recipient).

    Args:
        address, source: of server and client.
        content: with CRLF line ends.
    """
    try:
        with session(address, source) as client:
            return converse(client, sender, recipient, content)
    except smtplib.SMTPResponseException as error:
        return Reply("session", error.smtp_code, plain(error.smtp_error))
    except (OSError, smtplib.SMTPException) as error:
        return Reply("session", 0, f"no conversation: {error}")


def converse(client: smtplib.SMTP, sender: str, recipient: str, content: bytes | None) -> Reply:
    """MAIL, RCPT and (with content) DATA, up to the first answer that is not yes."""
    options = ["BODY=8BITMIME"] if client.has_extn("8bitmime") else []
    if content is not None and client.has_extn("size"):
        options.append(f"SIZE={len(content)}")
    code, text = client.mail(sender, options)
    reply = Reply("MAIL", code, plain(text))
    if reply.taken:
        code, text = client.rcpt(recipient)
        reply = Reply("RCPT", code, plain(text))
    if reply.taken and content is not None:
        code, text = client.data(content)
        reply = Reply("DATA", code, plain(text))
    return reply


def plain(text: bytes | str) -> str:
    """An answer in one line."""
    return (text if isinstance(text, str) else text.decode(errors="replace")).replace("\n", " / ")
