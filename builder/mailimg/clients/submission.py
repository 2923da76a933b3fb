"""A user's mail program: logs in, hands over a message, and says exactly what it was answered."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from mailimg.clients.smtp import CONNECT_SECONDS, SECONDS, Reply, converse, plain
from mailimg.peers import addresses as at

WRAPPED = 465  # the port where TLS comes before SMTP


@dataclass(frozen=True)
class Account:
    """A login; `mechanism` is PLAIN or LOGIN."""

    login: str
    password: str
    mechanism: str = "PLAIN"


@contextlib.contextmanager
def session(port: int, tls: ssl.SSLContext | None, source: str = at.SENDER4,
            server: str = at.NODE4) -> Iterator[smtplib.SMTP]:
    """A greeted connection to a server by address or name; with `tls` encrypted, as the port wants it."""
    name, seconds, origin = "pc-17.home", CONNECT_SECONDS, (source, 0)
    client: smtplib.SMTP
    if tls is not None and port == WRAPPED:
        client = smtplib.SMTP_SSL(server, port, name, timeout=seconds, source_address=origin, context=tls)
    else:
        client = smtplib.SMTP(server, port, name, seconds, origin)
    with client:
        assert client.sock is not None  # noqa: S101 - tells mypy that the connection is there
        client.sock.settimeout(SECONDS)
        client.ehlo()
        if tls is not None and port != WRAPPED:
            client.starttls(context=tls)
            client.ehlo()
        yield client


def submit(port: int, tls: ssl.SSLContext | None, account: Account | None, sender: str, recipient: str,
           content: bytes | None = None, *, source: str = at.SENDER4, server: str = at.NODE4) -> Reply:
    """Log in (if there is an account) and send a message; without content stop after the recipient."""
    try:
        with session(port, tls, source, server) as client:
            if account is not None:
                client.user, client.password = account.login, account.password
                answer = client.auth_plain if account.mechanism == "PLAIN" else client.auth_login
                client.auth(account.mechanism, answer)
            return converse(client, sender, recipient, content)
    except smtplib.SMTPAuthenticationError as error:
        return Reply("AUTH", error.smtp_code, plain(error.smtp_error))
    except smtplib.SMTPResponseException as error:
        return Reply("session", error.smtp_code, plain(error.smtp_error))
    except (OSError, smtplib.SMTPException) as error:
        return Reply("session", 0, f"no conversation: {error}")

