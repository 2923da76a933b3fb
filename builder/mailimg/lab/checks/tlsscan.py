"""What a TLS server takes, asked by hellos of our own: the local TLS library offers neither SSL nor old ciphers.

A server that takes a version and a cipher answers with ServerHello, which names both; nothing more is said then.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS = 20.0
VERSIONS = {"SSL 3.0": 0x0300, "TLS 1.0": 0x0301, "TLS 1.1": 0x0302, "TLS 1.2": 0x0303, "TLS 1.3": 0x0304}
NAMES = {number: name for name, number in VERSIONS.items()}
SSL2 = "SSL 2.0"
# Numbers of IANA's registry of TLS cipher suites. ECDHE and DHE with AES, ChaCha20, ARIA or Camellia.
STRONG = (0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9, 0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC024, 0xC027,
          0xC028, 0x0033, 0x0039, 0x0067, 0x006B, 0x009E, 0x009F, 0xCCAA)
STRONG13 = (0x1301, 0x1302, 0x1303)
WEAK = {
    "no encryption": (0x0001, 0x0002, 0x003B, 0xC001, 0xC006, 0xC00B, 0xC010),
    "anonymous": (0x0018, 0x001B, 0x0034, 0x003A, 0x0046, 0x0089, 0x006C, 0x006D, 0x00A6, 0x00A7, 0xC016, 0xC017,
                  0xC018, 0xC019),
    "export": (0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0011, 0x0014, 0x0017, 0x0019),
    "DES": (0x0009, 0x000C, 0x000F, 0x0012, 0x0015, 0x001A),
    "3DES": (0x000A, 0x000D, 0x0010, 0x0013, 0x0016, 0xC003, 0xC008, 0xC00D, 0xC012),
    "RC4": (0x0004, 0x0005, 0x0066, 0xC002, 0xC007, 0xC00C, 0xC011),
    "IDEA, SEED": (0x0007, 0x0096, 0x0099, 0x009A),
    "no forward secrecy": (0x002F, 0x0035, 0x003C, 0x003D, 0x009C, 0x009D, 0x0041, 0x0084, 0x00BA, 0x00C0, 0xC09C,
                           0xC09D, 0xC050, 0xC051),
}
# A server of an old version may know no cipher but these.
OLD = tuple(number for numbers in WEAK.values() for number in numbers)
ANONYMOUS = (0xC018, 0xC019)


@dataclass(frozen=True)
class Taken:
    """What a server chose: a version's name, a cipher suite's number."""

    version: str
    suite: int


def hello(version: str, suites: Sequence[int], host: str = "") -> bytes:
    """A ClientHello record that offers one version only; `host`: the name that is asked for."""
    if version == SSL2:
        # RFC 6101, appendix E: three bytes a cipher; RC4, RC2, IDEA, DES, 3DES, each with MD5.
        specs = bytes.fromhex("0100800200800300800400800500800600400700c0")
        body = b"\x01\x00\x02" + struct.pack(">HHH", len(specs), 0, 16) + specs + os.urandom(16)
        return struct.pack(">H", 0x8000 | len(body)) + body
    number = VERSIONS[version]
    legacy = min(number, 0x0303)
    # 0x00ff: no renegotiation (RFC 5746), in place of an extension, which SSL 3.0 has none of.
    wanted = b"".join(struct.pack(">H", suite) for suite in (*suites, 0x00FF))
    body = struct.pack(">H", legacy) + os.urandom(32) + b"\x00" + _sized(wanted, 2) + b"\x01\x00"
    if number > 0x0300:
        extensions = [struct.pack(">H", kind) + _sized(data, 2) for kind, data in _extensions(number, host)]
        body += _sized(b"".join(extensions), 2)
    handshake = b"\x01" + _sized(body, 3)
    return b"\x16" + struct.pack(">H", min(number, 0x0301)) + _sized(handshake, 2)


def _extensions(number: int, host: str) -> list[tuple[int, bytes]]:
    """Server name, groups, point formats, signatures; of TLS 1.3 the version, and no key yet (RFC 8446, 4.2.8)."""
    groups = b"".join(struct.pack(">H", one) for one in (29, 23, 24, 25, 256))
    found = [(0, _sized(b"\x00" + _sized(host.encode(), 2), 2))] if host else []
    found += [(10, _sized(groups, 2)), (11, b"\x01\x00")]
    if number >= 0x0303:
        signatures = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
        found.append((13, _sized(b"".join(struct.pack(">H", one) for one in signatures), 2)))
    if number == 0x0304:
        found += [(43, _sized(struct.pack(">H", number), 1)), (51, _sized(b"", 2))]
    return found


def _sized(data: bytes, width: int) -> bytes:
    """Data behind its length in so many bytes."""
    return len(data).to_bytes(width, "big") + data


def chosen(answer: bytes) -> Taken | None:
    """What a server's first bytes say; None: it refused, by an alert or by hanging up."""
    if len(answer) > 2 and answer[0] & 0x80 and answer[2] == 4:
        return Taken(SSL2, 0)
    if len(answer) < 44 or answer[0] != 0x16 or answer[5] != 2:
        return None
    (number,) = struct.unpack(">H", answer[9:11])
    at = 44 + answer[43]  # behind record, handshake, version, random and session id
    (suite,) = struct.unpack(">H", answer[at : at + 2])
    at += 5  # suite, compression, length of the extensions
    while at + 4 <= len(answer):
        kind, size = struct.unpack(">HH", answer[at : at + 4])
        if kind == 43:
            (number,) = struct.unpack(">H", answer[at + 4 : at + 6])
        at += 4 + size
    return Taken(NAMES.get(number, hex(number)), suite)


def ask(stream: socket.socket, version: str, suites: Sequence[int], host: str = "") -> Taken | None:
    """Say hello on a connection on which TLS begins now."""
    stream.settimeout(SECONDS)
    stream.sendall(hello(version, suites, host))
    answer = b""
    with contextlib.suppress(ConnectionError):
        while len(answer) < 5 or len(answer) < 5 + int.from_bytes(answer[3:5], "big"):
            part = stream.recv(4096)
            if not part:
                break
            answer += part
            if answer[0] not in (0x15, 0x16):
                break
    return chosen(answer)


def provable() -> list[str]:
    """The versions that this scan was seen to find, in a server made of the local TLS library just for that."""
    return [name for name in VERSIONS if _found_locally(name)]


def _found_locally(version: str) -> bool:
    """Whether a server of this process that takes every version is found to take this one."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    # Without a certificate: it ends before one would be needed.
    server.set_ciphers("AECDH:@SECLEVEL=0")
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    come.write(hello(version, STRONG13 if version == "TLS 1.3" else ANONYMOUS))
    with contextlib.suppress(ssl.SSLError):
        server.wrap_bio(come, go, server_side=True).do_handshake()
    found = chosen(go.read())
    return found is not None and found.version == version
