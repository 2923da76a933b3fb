"""ONC RPC as the peers of a storage server speak it (RFC 5531, 1833, 1813): ports, exports, who may mount."""

from __future__ import annotations

import errno
import socket
import struct

from mailimg.errors import StepError

SECONDS = 60.0
PORTMAP, PORTMAP_VERSION, PORTMAP_PORT, GETPORT = 100000, 2, 111, 3
MOUNT, MOUNT_VERSION, MNT, EXPORTS = 100005, 3, 1, 5
TCP = 6
LAST = 0x80000000  # of a record's fragments


class Reader:
    """XDR, read from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self) -> int:
        """An unsigned number."""
        value, self.data = int(struct.unpack(">I", self.data[:4])[0]), self.data[4:]
        return value

    def text(self) -> str:
        """A counted string, padded to four bytes."""
        length = self.number()
        value, self.data = self.data[:length], self.data[length + -length % 4:]
        return value.decode()


def number(*values: int) -> bytes:
    """Unsigned numbers as XDR."""
    return struct.pack(f">{len(values)}I", *values)


def text(value: str) -> bytes:
    """A string as XDR."""
    raw = value.encode()
    return number(len(raw)) + raw + bytes(-len(raw) % 4)


def call(address: str, source: str, port: int, program: int, version: int, procedure: int, arguments: bytes) -> Reader:
    """One call by TCP as root of a client: from a reserved port, with credentials of kind AUTH_SYS.

    Raises:
        StepError: no answer, or one that is no success.
    """
    what = f"call procedure {procedure} of RPC program {program} version {version} at {address}:{port}"
    credentials = number(0) + text("verify") + number(0, 0, 0)
    message = number(1, 0, 2, program, version, procedure, 1, len(credentials)) + credentials + number(0, 0) + arguments
    try:
        with connect(address, source, port) as connection:
            connection.sendall(number(LAST | len(message)) + message)
            reply = Reader(record(connection))
    except OSError as error:
        raise StepError(f"{what}: {error}") from error
    head = [reply.number() for _ in range(3)]
    if head[1:] != [1, 0]:
        raise StepError(f"{what}: the call was denied")
    reply.number()
    reply.text()
    status = reply.number()
    if status != 0:
        raise StepError(f"{what}: refused with status {status}")
    return reply


def connect(address: str, source: str, port: int) -> socket.socket:
    """A connection from a port below 1024, which servers take for a sign of root."""
    for own in range(1023, 700, -1):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(SECONDS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            connection.bind((source, own))
            connection.connect((address, port))
        except OSError as error:
            connection.close()
            # The port is taken, or a connection that was closed a moment ago still holds it for this peer.
            if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                continue
            raise
        return connection
    raise OSError("no reserved port is free")


def record(connection: socket.socket) -> bytes:
    """One record of all its fragments."""
    whole, last = b"", False
    while not last:
        mark = int(struct.unpack(">I", exactly(connection, 4))[0])
        whole += exactly(connection, mark & ~LAST)
        last = bool(mark & LAST)
    return whole


def exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes."""
    got = b""
    while len(got) < length:
        piece = connection.recv(length - len(got))
        if not piece:
            raise OSError("the connection was closed within an answer")
        got += piece
    return got


def port(address: str, source: str, program: int, version: int) -> int:
    """The TCP port of a program, as the portmapper tells it; 0 when it is not there."""
    arguments = number(program, version, TCP, 0)
    return call(address, source, PORTMAP_PORT, PORTMAP, PORTMAP_VERSION, GETPORT, arguments).number()


def null(address: str, source: str, at_port: int, program: int, version: int) -> None:
    """Procedure 0, which does nothing but answer."""
    call(address, source, at_port, program, version, 0, b"")


def exports(address: str, source: str, mountd: int) -> dict[str, list[str]]:
    """Exported folders with the clients they are for, as `showmount -e` shows them."""
    reply = call(address, source, mountd, MOUNT, MOUNT_VERSION, EXPORTS, b"")
    found: dict[str, list[str]] = {}
    while reply.number():
        groups = found.setdefault(reply.text(), [])
        while reply.number():
            groups.append(reply.text())
    return found


def mount(address: str, source: str, mountd: int, folder: str) -> int:
    """The status of a wish to mount: 0 granted, 13 refused."""
    return call(address, source, mountd, MOUNT, MOUNT_VERSION, MNT, text(folder)).number()
