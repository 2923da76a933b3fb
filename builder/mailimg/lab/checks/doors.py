"""Passwords: never in the clear, never by old TLS, never guessed quickly; part of `safety`."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mailimg.clients import mailbox, submission, web
from mailimg.clients.managesieve import ManageSieve, SieveError
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, tlsscan
from mailimg.lab.checks.mail import ANNA
from mailimg.lab.plan import NodePlan

SECONDS = 20.0
# What each distribution's daemons speak; docs/lab-safety.md says it, too. Ciphers are the same everywhere: all that
# `tlsscan.WEAK` has are refused.
FLOORS: Mapping[str, tuple[str, ...]] = {"debian-12": ("TLS 1.2", "TLS 1.3"), "centos-7": ("TLS 1.2",)}
# What is said before TLS begins, by port: lines, each with what its answer must begin with.
SMTP = (("", "220"), ("EHLO scan.example", "250"), ("STARTTLS", "220"))
PRELUDES: Mapping[int, Sequence[tuple[str, str]]] = {
    25: SMTP, 587: SMTP, 465: (),
    143: (("", "* OK"), ("a STARTTLS", "a OK")), 993: (),
    110: (("", "+OK"), ("STLS", "+OK")), 995: (),
    4190: (("", "OK"), ("STARTTLS", "OK")),
    443: (),
}
# Seconds that a wrong password takes at least; of submission, from the third on in one session.
DELAY = 1.0
GUESSES = 5


def no_password_in_the_clear(bench: Bench) -> str:
    """AUTH is not offered, and refused when it is tried; a page without TLS leads to one with it."""
    told = []
    for vip, port in (("smtp-in", 25), ("smtp-out", 25), ("smtp-out", 587), ("delivery", 25)):
        source = at.GATEWAY4 if vip == "delivery" else at.HOME4
        with submission.session(port, None, source, bench.host(vip)) as client:
            code, text = client.docmd("AUTH", "PLAIN AGFubmEAeA==")
            if client.has_extn("auth") or not 500 <= code < 600:
                raise CheckFailed(f"{vip}:{port}: {client.esmtp_features}, AUTH: {code} {text!r}")
        told.append(f"{vip}:{port} {code}")
    reader = imaplib.IMAP4(bench.host("imap"), 143, timeout=SECONDS)
    try:
        if "LOGINDISABLED" not in reader.capabilities or any(one.startswith("AUTH=") for one in reader.capabilities):
            raise CheckFailed(f"IMAP offers a login without TLS: {' '.join(reader.capabilities)}")
        with contextlib.suppress(imaplib.IMAP4.error):
            reader.login(ANNA.login, bench.password)
            raise CheckFailed("IMAP took a login without TLS")
    finally:
        reader.shutdown()
    pop = poplib.POP3(bench.host("pop"), 110, timeout=SECONDS)
    try:
        with contextlib.suppress(poplib.error_proto):
            pop.user(ANNA.login)
            pop.pass_(bench.password)
            raise CheckFailed("POP3 took a login without TLS")
    finally:
        pop.close()
    with ManageSieve(bench.host("imap")) as sieve:
        if sieve.capabilities.get("SASL"):
            raise CheckFailed(f"ManageSieve offers a login without TLS: {sieve.capabilities['SASL']}")
        with contextlib.suppress(SieveError):
            sieve.login(ANNA.login, bench.password)
            raise CheckFailed("ManageSieve took a login without TLS")
    page = web.ask(bench.address("webmail"), at.HOME4, bench.host("webmail"), "/SOGo/connect",
                   document={"userName": ANNA.login, "password": bench.password})
    if page.status not in (301, 302) or not page.headers.get("location", "").startswith("https://"):
        raise CheckFailed(f"webmail without TLS: {page}")
    return f"{', '.join(told)}; IMAP, POP3, ManageSieve refuse; webmail {page.status} to https"


@dataclass(frozen=True)
class Door:
    """A port with TLS of a node."""

    node: NodePlan
    port: int
    distro: str

    def __str__(self) -> str:
        return f"{self.node.name}:{self.port}"

    @contextlib.contextmanager
    def open(self) -> Iterator[socket.socket]:
        """A connection on which TLS begins now.

        Raises:
            CheckFailed: the server does not let it begin.
        """
        with socket.create_connection((self.node.address4, self.port), SECONDS, (at.GATEWAY4, 0)) as made:
            with made.makefile("rb") as stream:
                for line, wanted in PRELUDES[self.port]:
                    if line:
                        made.sendall(line.encode() + b"\r\n")
                    said = stream.readline().decode(errors="replace")
                    # EHLO's answer and ManageSieve's greeting have many lines.
                    while said[3:4] == "-" or (said and self.port == 4190 and said.startswith('"')):
                        said = stream.readline().decode(errors="replace")
                    if not said.startswith(wanted):
                        raise CheckFailed(f"{self}: {line or 'greeting'}: {said.strip() or 'hung up'}")
            yield made


def doors(bench: Bench) -> list[Door]:
    """Every port that speaks TLS, of each role's first node."""
    found = []
    for role in dict.fromkeys(node.role for node in bench.plan.nodes):
        node = bench.of(role)[0]
        told = bench.nodes[node.name].role()
        found += [Door(node, int(port["port"]), told["distro"]) for port in told["ports"]
                  if int(port["port"]) in PRELUDES]
    return found


def scan(door: Door) -> list[str]:
    """What is wrong with a port: versions that are taken or refused against the floor, ciphers below it."""
    def tried(version: str, suites: Sequence[int]) -> tlsscan.Taken | None:
        with door.open() as stream:
            return tlsscan.ask(stream, version, suites)

    floor, wrong = FLOORS[door.distro], []
    for version in (tlsscan.SSL2, *tlsscan.VERSIONS):
        suites = tlsscan.STRONG13 if version == "TLS 1.3" else (*tlsscan.STRONG, *tlsscan.OLD)
        taken = tried(version, suites)
        if (taken is not None and taken.version == version) != (version in floor) or (taken and version not in floor):
            wrong.append(f"{door}: {version}: {taken or 'refused'}, the floor of {door.distro} is {', '.join(floor)}")
    for kind, suites in tlsscan.WEAK.items():
        if taken := tried("TLS 1.2", suites):
            wrong.append(f"{door}: cipher 0x{taken.suite:04x} ({kind}) is taken")
    return wrong


def tls_floor(bench: Bench) -> str:
    """Every port with TLS of every role; and it says which old version could not be proved to be found."""
    found = doors(bench)
    with ThreadPoolExecutor(4) as pool:
        wrong = [line for lines in pool.map(scan, found) for line in lines]
    for host, port in ((bench.host("imap"), 993), (bench.host("smtp-out"), 465), (bench.host("webmail"), 443)):
        # A whole handshake, with the certificate checked.
        with socket.create_connection((host, port), SECONDS) as made, bench.tls.wrap_socket(
                made, server_hostname=host) as tls:
            if tls.version() not in ("TLSv1.2", "TLSv1.3"):
                wrong.append(f"{host}:{port} speaks {tls.version()}")
    proved = tlsscan.provable()
    if not {"TLS 1.0", "TLS 1.1"} <= set(proved):
        wrong.append(f"the scan finds only {', '.join(proved)} in a server that takes all")
    if wrong:
        raise CheckFailed("\n".join(wrong))
    unproved = [name for name in (tlsscan.SSL2, *tlsscan.VERSIONS) if name not in (*proved, "TLS 1.3")]
    return (f"{', '.join(map(str, found))}: {', '.join(FLOORS[found[0].distro])} only, none of {len(tlsscan.WEAK)} "
            f"weak kinds of ciphers; {', '.join(unproved)}: offered and refused, but no server here could show that "
            "the scan finds them")


def guessing_is_slow(bench: Bench) -> str:
    """Each wrong password costs time, and the right one, from the same address, does not."""
    def sieve() -> None:
        with ManageSieve(bench.host("imap")) as client:
            client.starttls(bench.tls)
            client.login(ANNA.login, "wrong")

    def imap() -> None:
        with mailbox.imap(bench.tls, ANNA.login, "wrong", bench.host("imap"), at.HOME4):
            pass

    def pop3() -> None:
        with mailbox.pop3(bench.tls, ANNA.login, "wrong", bench.host("pop")):
            pass

    took = {name: min(refused(guess), refused(guess)) for name, guess in (
        ("IMAP", imap), ("POP3", pop3), ("ManageSieve", sieve))}
    with submission.session(587, bench.tls, at.HOME4, bench.host("smtp-out")) as client:
        for _ in range(2):
            client.docmd("AUTH", "PLAIN AGFubmEAeA==")
        begun = time.monotonic()
        codes = [client.docmd("AUTH", "PLAIN AGFubmEAeA==")[0] for _ in range(2)]
        took["submission, each further one in a session"] = (time.monotonic() - begun) / 2
    if codes != [535, 535]:
        raise CheckFailed(f"submission: expected 535, got {codes}")
    slow = {name: seconds for name, seconds in took.items() if seconds < DELAY}
    if slow:
        raise CheckFailed(f"not slowed: {', '.join(f'{name} {seconds:.2f} s' for name, seconds in slow.items())}")
    each = 0.0
    for _ in range(GUESSES):
        begun = time.monotonic()
        with submission.session(587, bench.tls, at.HOME4, bench.host("smtp-out")) as client:
            client.docmd("AUTH", "PLAIN AGFubmEAeA==")
            each += (time.monotonic() - begun) / GUESSES
            client.close()  # who guesses does not wait for QUIT's answer
    begun = time.monotonic()
    with mailbox.imap(bench.tls, ANNA.login, bench.password, bench.host("imap"), at.HOME4):
        right = time.monotonic() - begun
    bench.figures.update({f"safety: a wrong password, {name}, s": round(seconds, 2) for name, seconds in took.items()})
    bench.figures["safety: a wrong password, submission, a session each, s"] = round(each, 2)
    if right > DELAY:
        raise CheckFailed(f"the right password takes {right:.1f} s after wrong ones")
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    return f"{told}, in a new session {each:.2f} s (what limits that is the directory's lock-out); right {right:.1f} s"


def refused(guess: Callable[[], None]) -> float:
    """Seconds until a wrong password was refused."""
    begun = time.monotonic()
    try:
        guess()
    except (imaplib.IMAP4.error, poplib.error_proto, SieveError):
        return time.monotonic() - begun
    raise CheckFailed("a wrong password was taken")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("no password is asked for without TLS", no_password_in_the_clear),
    ("TLS is of the floor or better on every port", tls_floor),
    ("guessing passwords is slow", guessing_is_slow),
)
