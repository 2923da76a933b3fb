"""A minimal ManageSieve client (RFC 5804): log in over STARTTLS, put a script, make it the active one."""

from __future__ import annotations

import base64
import re
import socket
import ssl
from types import TracebackType

PORT = 4190
SECONDS = 60.0
LITERAL = re.compile(rb"\{(\d+)\}$")


class SieveError(Exception):
    """The server said NO or BYE, or no ManageSieve."""


class ManageSieve:
    """One session; a context manager."""

    def __init__(self, address: str, port: int = PORT) -> None:
        self.socket: socket.socket = socket.create_connection((address, port), SECONDS)
        self.address = address
        self.stream = self.socket.makefile("rb")
        self.capabilities = capabilities(self.answer())

    def __enter__(self) -> ManageSieve:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stream.close()
        self.socket.close()

    def starttls(self, context: ssl.SSLContext) -> None:
        """Encrypt; the server tells its capabilities anew."""
        self.command("STARTTLS")
        self.stream.close()
        self.socket = context.wrap_socket(self.socket, server_hostname=self.address)
        self.stream = self.socket.makefile("rb")
        self.capabilities = capabilities(self.answer())

    def login(self, login: str, password: str) -> None:
        """Authenticate by PLAIN."""
        secret = base64.b64encode(f"\0{login}\0{password}".encode()).decode()
        self.command(f'AUTHENTICATE "PLAIN" "{secret}"')

    def activate(self, name: str, script: bytes) -> None:
        """Put a script there and make it the active one."""
        self.socket.sendall(f'PUTSCRIPT "{name}" {{{len(script)}+}}\r\n'.encode() + script + b"\r\n")
        self.answer()
        self.command(f'SETACTIVE "{name}"')

    def withdraw(self, name: str) -> None:
        """Have no active script, and delete this one."""
        self.command('SETACTIVE ""')
        self.command(f'DELETESCRIPT "{name}"')

    def command(self, line: str) -> list[bytes]:
        """One command in one line, and what came before its OK."""
        self.socket.sendall(line.encode() + b"\r\n")
        return self.answer()

    def answer(self) -> list[bytes]:
        """The lines before OK.

        Raises:
            SieveError: the answer is not OK.
        """
        lines: list[bytes] = []
        while True:
            line = self.stream.readline().rstrip(b"\r\n")
            if literal := LITERAL.search(line):
                line += b" " + self.stream.read(int(literal[1])) + self.stream.readline().rstrip(b"\r\n")
            word = line.split(b" ", 1)[0].upper()
            if word == b"OK":
                return lines
            if word in (b"NO", b"BYE", b""):
                raise SieveError(line.decode(errors="replace") or "the connection ended")
            lines.append(line)


def capabilities(lines: list[bytes]) -> dict[str, str]:
    """Lines such as `"SASL" "PLAIN LOGIN"` as a mapping; one without a value has an empty one."""
    found = {}
    for line in lines:
        words = re.findall(r'"([^"]*)"', line.decode(errors="replace"))
        if words:
            found[words[0].upper()] = words[1] if len(words) > 1 else ""
    return found
