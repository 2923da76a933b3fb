"""The other layers and the Internet of a verification: an SMTP server that takes everything and keeps it."""

from __future__ import annotations

import email.parser
import email.policy
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from mailimg.peers import addresses as at
from mailimg.peers.authority import Certificate


@dataclass(frozen=True)
class Envelope:
    """One message as it arrived, at that second of the wall clock; `content` are its bytes with CRLF line ends."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    at: float = 0.0

    @property
    def head(self) -> dict[str, str]:
        """Header fields by lower-case name; of several the first."""
        parsed = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(self.content)
        fields: dict[str, str] = {}
        for name, value in parsed.items():
            fields.setdefault(name.lower(), str(value))
        return fields

    @property
    def body(self) -> bytes:
        """Everything after the first empty line."""
        return self.content.partition(b"\r\n\r\n")[2]


@dataclass(frozen=True)
class Door:
    """What a server asks of those who want to hand something over: STARTTLS and a login."""

    certificate: Certificate
    login: str
    password: str

    def judge(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """aiosmtpd's question whether a login is right."""
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            self.login.encode(), self.password.encode())
        return AuthResult(success=right, handled=False)


def context_of(certificate: Certificate) -> ssl.SSLContext:
    """TLS of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


class Sink:
    """The server; safe to ask from the thread that started it.

    Attributes:
        busy: nothing is taken for now; senders are told to come again.
    """

    def __init__(self, address: str = at.HOST4, port: int = at.DELIVERY_PORT, name: str = at.DELIVERY_NAME,
                 door: Door | None = None) -> None:
        self.kept: list[Envelope] = []
        self.busy = False
        self.changed = threading.Condition()
        options: dict[str, Any] = {} if door is None else {
            "tls_context": context_of(door.certificate), "auth_required": True, "authenticator": door.judge}
        # 64 MiB: more than any message limit of the roles, so that a limit that is seen is the node's.
        self.controller = Controller(self, hostname=address, port=port, data_size_limit=64 << 20,
                                     server_hostname=name, ready_timeout=20, **options)

    def start(self) -> None:
        """Listen."""
        self.controller.start()

    def stop(self) -> None:
        """Close the port and end the thread."""
        self.controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a message; aiosmtpd calls it in the server's thread."""
        if self.busy:
            return "451 4.3.2 come again"
        kept = Envelope((envelope.mail_from or "").strip("<>"), tuple(envelope.rcpt_tos), bytes(envelope.content),
                        time.time())
        with self.changed:
            self.kept.append(kept)
            self.changed.notify_all()
        return "250 2.0.0 kept"

    def find(self, message_id: str) -> Envelope | None:
        """The message with this Message-ID (with its angle brackets), if it arrived."""
        with self.changed:
            return next((kept for kept in self.kept if kept.head.get("message-id", "").strip() == message_id), None)

    def wait(self, message_id: str, seconds: float) -> Envelope | None:
        """The message with this Message-ID, waiting for it at most so long."""
        deadline = time.monotonic() + seconds
        while (found := self.find(message_id)) is None and time.monotonic() < deadline:
            with self.changed:
                self.changed.wait(0.5)
        return found
