"""ONC RPC as far as a mail server asks a storage server (RFC 5531, 1833, 1813): does it answer, which versions, what is
exported. Nothing of it changes anything at the server.
"""

import socket
import struct
from typing import List, NamedTuple, Optional, Tuple

NFS, NFS_PORT = 100003, 2049
PORTMAP, PORTMAP_VERSION, PORTMAP_PORT, GETPORT = 100000, 2, 111, 3
MOUNTD, MOUNTD_VERSION, EXPORTS = 100005, 3, 5
TCP = 6
LAST = 0x80000000  # of a record's fragments

# Of an accepted call: done; the program is not there; it is there in other versions.
SUCCESS, NO_PROGRAM, OTHER_VERSION = 0, 1, 2

# Seconds for a connection and for each answer: a server of the same network that needs longer does not serve.
TIMEOUT = 10.0

# Bytes of an answer: a list of 10,000 exports has fewer.
LARGEST = 4 << 20


class Answer(NamedTuple):
    """What became of a call: `status` of RFC 5531, the result, and with OTHER_VERSION the versions that there are."""

    status: int
    result: bytes
    versions: Tuple[int, int] = (0, 0)


def call(server: str, port: int, program: int, version: int, procedure: int, arguments: bytes = b"") -> Answer:
    """One call by TCP, without credentials.

    Raises:
        OSError: no name, no connection, no answer in time, or an answer that is no RPC.
    """
    message = _numbers(1, 0, 2, program, version, procedure, 0, 0, 0, 0) + arguments
    with socket.create_connection((server, port), TIMEOUT) as connection:
        connection.sendall(_numbers(LAST | len(message)) + message)
        reply = _record(connection)
    try:
        _, kind, denied, _, length = struct.unpack_from(">5I", reply)
        if kind != 1 or denied:
            raise OSError("the call was denied")
        offset = 20 + length + -length % 4
        (status,) = struct.unpack_from(">I", reply, offset)
        if status == OTHER_VERSION:
            low, high = struct.unpack_from(">2I", reply, offset + 4)
            return Answer(status, b"", (low, high))
    except struct.error:
        raise OSError("what answers is no RPC") from None
    return Answer(status, reply[offset + 4:])


def exports(server: str) -> Optional[List[str]]:
    """Exported folders, as `showmount -e` shows them; None when the server does not tell (one of NFS 4 need not)."""
    try:
        asked = _numbers(MOUNTD, MOUNTD_VERSION, TCP, 0)
        port = call(server, PORTMAP_PORT, PORTMAP, PORTMAP_VERSION, GETPORT, asked)
        if port.status != SUCCESS or not any(port.result):
            return None
        told = call(server, struct.unpack(">I", port.result[:4])[0], MOUNTD, MOUNTD_VERSION, EXPORTS)
        return _folders(told.result) if told.status == SUCCESS else None
    except (OSError, struct.error):
        return None


def _folders(data: bytes) -> List[str]:
    """Of XDR's linked list of folders, each with a linked list of clients, the folders."""
    found, place = [], 0

    def number() -> int:
        nonlocal place
        place += 4
        return int(struct.unpack_from(">I", data, place - 4)[0])

    def text() -> str:
        nonlocal place
        length = number()
        place += length + -length % 4
        return data[place - length - -length % 4:][:length].decode("utf-8", "replace")

    while number():
        found.append(text())
        while number():
            text()
    return found


def _numbers(*values: int) -> bytes:
    return struct.pack(">{}I".format(len(values)), *values)


def _record(connection: socket.socket) -> bytes:
    """One record of all its fragments."""
    whole, last = b"", False
    while not last:
        (mark,) = struct.unpack(">I", _exactly(connection, 4))
        if len(whole) + (mark & ~LAST) > LARGEST:
            raise OSError("what answers is no RPC")
        whole += _exactly(connection, mark & ~LAST)
        last = bool(mark & LAST)
    return whole


def _exactly(connection: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length:
        piece = connection.recv(length - len(got))
        if not piece:
            raise OSError("the connection was closed without an answer")
        got += piece
    return got
