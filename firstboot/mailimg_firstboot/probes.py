"""Proofs that a daemon serves, by talking to it as a client does; each returns None or what is wrong in words."""

import socket
import time
from pathlib import Path
from typing import Optional, Union

from mailimg_firstboot import mounts
from mailimg_firstboot.rolefile import HealthCheck

# Seconds for each answer, unless the caller has less patience.
TIMEOUT = 10.0

# Bytes of an answer that is read to its end; none of those that are asked for comes near it.
LONGEST = 1 << 20

LOOPBACK = "127.0.0.1"


def probe(check: HealthCheck, patience: float = TIMEOUT) -> Optional[str]:
    """Carry out one check of role.json; `patience` in seconds for each answer."""
    try:
        if check.check == "smtp":
            return smtp(check.port, patience)
        if check.check == "tcp":
            return tcp(check.port, patience)
        if check.check == "mount":
            return mount(check.path, check.site)
        if check.check in ("http", "https"):
            return http(check.port, check.path, check.check == "https", patience)
        return unix(check.path, check.name == "clamd", patience)
    except OSError as error:
        return "no answer: {}".format(error.strerror or error)


def smtp(port: int, patience: float = TIMEOUT) -> Optional[str]:
    """A greeting of 220, an answer to EHLO, an end."""
    import smtplib

    try:
        with smtplib.SMTP(LOOPBACK, port, local_hostname="localhost", timeout=patience) as session:
            code, _ = session.ehlo()
            return None if code == 250 else "EHLO was answered with {}".format(code)
    except smtplib.SMTPConnectError as error:
        return "greeted with {}".format(error.smtp_code)
    except smtplib.SMTPException as error:
        return "no SMTP: {}".format(error)


def tcp(port: int, patience: float = TIMEOUT) -> Optional[str]:
    """A connection that is taken."""
    socket.create_connection((LOOPBACK, port), patience).close()
    return None


def http(port: int, path: str, tls: bool, patience: float = TIMEOUT) -> Optional[str]:
    """A GET that is answered with success or a redirection.

    The certificate is not looked at: it names the service, not this address; whether it is good is known before.
    """
    import http.client
    import ssl

    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        session: http.client.HTTPConnection = http.client.HTTPSConnection(
            LOOPBACK, port, timeout=patience, context=context)
    else:
        session = http.client.HTTPConnection(LOOPBACK, port, timeout=patience)
    try:
        session.request("GET", path, headers={"Connection": "close"})
        status = session.getresponse().status
        return None if 200 <= status < 400 else "GET {} was answered with {}".format(path, status)
    except http.client.HTTPException as error:
        return "no HTTP: {}".format(error or type(error).__name__)
    finally:
        session.close()


def unix(path: str, clamd: bool, patience: float = TIMEOUT) -> Optional[str]:
    """A socket that takes a connection; clamd must also answer its PING, which it does once its database is loaded."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(patience)
        client.connect(path)
        if not clamd:
            return None
        client.sendall(b"zPING\0")
        answer = client.recv(16)
    return None if answer.rstrip(b"\0\n") == b"PONG" else "answered {!r} to PING".format(answer)


def mount(path: str, key: str, table: str = "/proc/self/mountinfo") -> Optional[str]:
    """A mount point, as the kernel's table says: a look at the path itself would hang while its server is away."""
    if mounts.at(Path(table).read_bytes(), path) is not None:
        return None
    return "not a mount point; waiting for what the site key `{}` names to be mounted there".format(key)


def talk(place: Union[str, int], request: bytes, end: bytes, patience: float) -> bytes:
    """One question to a daemon, and its answer up to `end` or the end of the connection.

    Args:
        place: path of a socket, or a port.
        patience: seconds for all of it.

    Raises:
        OSError: nobody is there, or the answer has no end.
    """
    deadline = time.monotonic() + patience
    family = socket.AF_INET if isinstance(place, int) else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(patience)
        client.connect((LOOPBACK, place) if isinstance(place, int) else place)
        client.sendall(request)
        answer = b""
        while not answer.endswith(end):
            left = deadline - time.monotonic()
            if left <= 0 or len(answer) > LONGEST:
                raise socket.timeout("{}: no end of the answer".format(place))
            client.settimeout(left)
            piece = client.recv(1 << 16)
            if not piece:
                break
            answer += piece
    return answer
