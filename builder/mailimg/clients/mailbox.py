"""A user's mail program that reads: IMAP and POP3 over TLS, as far as a verification needs them."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import socket
import ssl
import time
from collections.abc import Iterator

from mailimg.peers import addresses as at

SECONDS = 60.0


class _Imap(imaplib.IMAP4_SSL):
    """As the library's, from an address of our choice."""

    def __init__(self, server: str, tls: ssl.SSLContext, source: str) -> None:
        self.source = source
        super().__init__(server, 993, ssl_context=tls, timeout=SECONDS)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        origin = (self.source, 0) if self.source else None
        made = socket.create_connection((self.host, self.port), timeout, source_address=origin)
        wrapped: ssl.SSLSocket = self.ssl_context.wrap_socket(made, server_hostname=self.host)
        return wrapped


@contextlib.contextmanager
def imap(tls: ssl.SSLContext, login: str, password: str, server: str = at.NODE4,
         source: str = "") -> Iterator[imaplib.IMAP4_SSL]:
    """A session on port 993, logged in; `source`: the address to come from.

    Raises:
        imaplib.IMAP4.error: the login was refused; its words are the server's.
    """
    client = _Imap(server, tls, source)
    try:
        client.login(login, password)
        yield client
    finally:
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            client.logout()


@contextlib.contextmanager
def pop3(tls: ssl.SSLContext, login: str, password: str,
         server: str = at.NODE4) -> Iterator[poplib.POP3_SSL]:
    """A session on port 995, logged in.

    Raises:
        poplib.error_proto: the login was refused.
    """
    client = poplib.POP3_SSL(server, 995, context=tls, timeout=SECONDS)
    try:
        client.user(login)
        client.pass_(password)
        yield client
    finally:
        with contextlib.suppress(poplib.error_proto, OSError):
            client.quit()


def find(client: imaplib.IMAP4, folder: str, message_id: str, seconds: float = 0.0) -> list[bytes]:
    """The messages with this Message-ID in a folder, waiting for the first at most so long; none without the folder."""
    deadline = time.monotonic() + seconds
    while True:
        if client.select(f'"{folder}"', readonly=True)[0] == "OK":
            numbers = client.search(None, "HEADER", "Message-ID", f'"{message_id}"')[1][0].split()
            if numbers:
                return [fetch(client, number) for number in numbers]
        if time.monotonic() > deadline:
            return []
        time.sleep(0.3)


def fetch(client: imaplib.IMAP4, number: bytes) -> bytes:
    """A message of the selected folder, whole."""
    for part in client.fetch(number.decode(), "(BODY.PEEK[])")[1]:
        if isinstance(part, tuple):
            return bytes(part[1])
    return b""


def folders(client: imaplib.IMAP4, subscribed: bool = False) -> dict[str, str]:
    """Folders with their flags, as LIST or LSUB tells them."""
    listed = (client.lsub if subscribed else client.list)()[1]
    return dict(parse_folder(line) for line in listed if isinstance(line, bytes))


def parse_folder(line: bytes) -> tuple[str, str]:
    """One line of LIST: `(\\HasNoChildren \\Junk) "/" Junk`."""
    flags, _, rest = line.decode().partition(") ")
    return rest.split(" ", 1)[1].strip('"'), flags.lstrip("(")
