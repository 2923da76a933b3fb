"""The delivery layer of a verification: an SMTP server that takes everything and keeps it."""

from __future__ import annotations

import email.parser
import email.policy
import threading
import time
from dataclasses import dataclass
from typing import Any

from aiosmtpd.controller import Controller

from mailimg.verify import addresses as at


@dataclass(frozen=True)
class Envelope:
    """One message as it arrived; `content` are its bytes with CRLF line ends."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

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


class Sink:
    """The server; safe to ask from the thread that started it."""

    def __init__(self, address: str = at.HOST4, port: int = at.DELIVERY_PORT) -> None:
        self.kept: list[Envelope] = []
        self.changed = threading.Condition()
        # 64 MiB: more than any message limit of the roles, so that a limit that is seen is the node's.
        self.controller = Controller(self, hostname=address, port=port, data_size_limit=64 << 20,
                                     server_hostname=at.DELIVERY_NAME, ready_timeout=20)

    def start(self) -> None:
        """Listen."""
        self.controller.start()

    def stop(self) -> None:
        """Close the port and end the thread."""
        self.controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a message; aiosmtpd calls it in the server's thread."""
        kept = Envelope(envelope.mail_from or "", tuple(envelope.rcpt_tos), bytes(envelope.content))
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
