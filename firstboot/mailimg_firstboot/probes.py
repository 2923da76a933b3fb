"""Proofs that a daemon serves, by talking to it as a client does; each returns None or what is wrong in words."""

import socket
from pathlib import Path
from typing import Optional

from mailimg_firstboot import mounts
from mailimg_firstboot.rolefile import HealthCheck

# Seconds for each answer: a daemon on the same machine that needs longer does not serve.
TIMEOUT = 10.0

LOOPBACK = "127.0.0.1"


def probe(check: HealthCheck) -> Optional[str]:
    """Carry out one check of role.json."""
    try:
        if check.check == "smtp":
            return smtp(check.port)
        if check.check == "tcp":
            return tcp(check.port)
        if check.check == "mount":
            return mount(check.path, check.site)
        if check.check in ("http", "https"):
            return http(check.port, check.path, check.check == "https")
        return unix(check.path, clamd=check.name == "clamd")
    except OSError as error:
        return "no answer: {}".format(error.strerror or error)


def smtp(port: int) -> Optional[str]:
    """A greeting of 220, an answer to EHLO, an end."""
    import smtplib

    try:
        with smtplib.SMTP(LOOPBACK, port, local_hostname="localhost", timeout=TIMEOUT) as session:
            code, _ = session.ehlo()
            return None if code == 250 else "EHLO was answered with {}".format(code)
    except smtplib.SMTPConnectError as error:
        return "greeted with {}".format(error.smtp_code)
    except smtplib.SMTPException as error:
        return "no SMTP: {}".format(error)


def tcp(port: int) -> Optional[str]:
    """A connection that is taken."""
    socket.create_connection((LOOPBACK, port), TIMEOUT).close()
    return None


def http(port: int, path: str, tls: bool) -> Optional[str]:
    """A GET that is answered with success or a redirection.

    The certificate is not looked at: it names the service, not this address; whether it is good is known before.
    """
    import http.client
    import ssl

    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        session: http.client.HTTPConnection = http.client.HTTPSConnection(
            LOOPBACK, port, timeout=TIMEOUT, context=context)
    else:
        session = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT)
    try:
        session.request("GET", path, headers={"Connection": "close"})
        status = session.getresponse().status
        return None if 200 <= status < 400 else "GET {} was answered with {}".format(path, status)
    except http.client.HTTPException as error:
        return "no HTTP: {}".format(error or type(error).__name__)
    finally:
        session.close()


def unix(path: str, clamd: bool) -> Optional[str]:
    """A socket that takes a connection; clamd must also answer its PING, which it does once its database is loaded."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT)
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
