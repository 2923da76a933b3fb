"""A mail host of the Internet: takes everything, or answers 4xx to a share of it, and keeps it in a folder.

    python -m mailimg.lab.internet FOLDER NAME ADDRESS...

Below the folder: `index`, a JSON line a message with its envelope, its Message-ID and the file of its content in
`mail/`; `defer`, which may be written at any time, with the share (0 to 1) of the messages that are to be put off.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from mailimg import process
from mailimg.peers.daemon import Daemon, until_port

LIMIT = 64 << 20  # more than any limit of the roles, so that a limit that is seen is the platform's


@dataclass(frozen=True)
class Arrival:
    """A message as it arrived; `at` is a time in seconds since 1970."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    at: float
    file: Path

    @property
    def content(self) -> bytes:
        """Its bytes, with CRLF line ends."""
        return self.file.read_bytes()


class Host:
    """aiosmtpd's handler."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = (folder / "index").open("a")
        self.taken = sum(1 for _ in (folder / "index").open())
        self.owed = 0.0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a message, or put it off."""
        self.owed += share(self.folder)
        if self.owed >= 1:
            self.owed -= 1
            return "451 4.3.0 put off, as the lab was told"
        self.taken += 1
        file = self.folder / "mail" / str(self.taken)
        file.write_bytes(envelope.content)
        head = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(envelope.content)
        line = {"message_id": str(head.get("message-id", "")).strip(), "sender": (envelope.mail_from or "").strip("<>"),
                "recipients": envelope.rcpt_tos, "at": time.time(), "file": file.name, "client": session.peer[0]}
        self.index.write(json.dumps(line) + "\n")
        self.index.flush()
        return "250 2.0.0 kept"


def share(folder: Path) -> float:
    """The share of messages that is to be put off."""
    try:
        return float((folder / "defer").read_text())
    except (OSError, ValueError):
        return 0.0


class MailHost(Daemon):
    """The program, for the supervisor."""

    def __init__(self, name: str, folder: Path, host: str, addresses: tuple[str, ...]) -> None:
        super().__init__(name, folder)
        (folder / "mail").mkdir(parents=True)
        (folder / "index").touch()
        self.argv = [sys.executable, "-m", __name__, str(folder), host, *addresses]
        self.address = addresses[0]

    def start(self) -> None:
        """Start and wait until it listens."""
        env = {"PYTHONPATH": str(Path(__file__).parents[2])}
        with self.log.open("ab") as log:
            self.process = process.start(self.argv, what=f"start {self.name}", env=env, stdout=log,
                                         stderr=process.STDOUT)
        until_port(self, self.address, 25)


class Arrivals:
    """What a mail host keeps, for who asks; the index is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._offset = 0
        self._all: list[Arrival] = []

    def all(self) -> list[Arrival]:
        """Everything, in the order of arrival."""
        with (self.folder / "index").open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                told = json.loads(line)
                self._all.append(Arrival(told["message_id"], told["sender"], tuple(told["recipients"]), told["at"],
                                         self.folder / "mail" / told["file"]))
        return self._all

    def find(self, message_id: str) -> list[Arrival]:
        """All arrivals of one message (its id with angle brackets)."""
        return [one for one in self.all() if one.message_id == message_id]

    def wait(self, message_id: str, seconds: float) -> Arrival | None:
        """The first arrival of a message, waiting for it at most so long."""
        deadline = time.monotonic() + seconds
        while not (found := self.find(message_id)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return found[0] if found else None

    def defer(self, part: float) -> None:
        """Have a share of the messages answered with 4xx; 0: none."""
        (self.folder / "defer").write_text(str(part))


def main(argv: list[str]) -> int:
    """Serve until the end of the process."""
    folder, name, *addresses = argv[1:]
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    host = Host(Path(folder))
    for address in addresses:
        Controller(host, hostname=address, port=25, data_size_limit=LIMIT, server_hostname=name,
                   ready_timeout=20).start()
    ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
