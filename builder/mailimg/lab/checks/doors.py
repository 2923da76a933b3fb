"""Passwords: never in the clear, never by old TLS; part of `safety`."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mailimg.clients import submission, web
from mailimg.clients.managesieve import ManageSieve, SieveError
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, guessing, tlsscan
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
# Mailbox servers pass each other's users on by ports of their own; what is said there is the same.
SIBLINGS = {10143: 143, 10110: 110, 14190: 4190}
PRELUDES = {**PRELUDES, **{port: PRELUDES[public] for port, public in SIBLINGS.items()}}


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
    inner = [(node.address4, port) for node in bench.of("pop-imap-lda") for port in SIBLINGS]
    for host, port in ((bench.host("imap"), 143), (bench.host("pop"), 110), (bench.host("imap"), 4190), *inner):
        IN_THE_CLEAR[SIBLINGS.get(port, port)](bench, host, port)
    page = web.ask(bench.address("webmail"), at.HOME4, bench.host("webmail"), "/SOGo/connect",
                   document={"userName": ANNA.login, "password": bench.password})
    if page.status not in (301, 302) or not page.headers.get("location", "").startswith("https://"):
        raise CheckFailed(f"webmail without TLS: {page}")
    return (f"{', '.join(told)}; IMAP, POP3, ManageSieve refuse, on {', '.join(map(str, SIBLINGS))} too; "
            f"webmail {page.status} to https")


def imap_in_the_clear(bench: Bench, host: str, port: int) -> None:
    """No login is offered, none is taken."""
    reader = imaplib.IMAP4(host, port, timeout=SECONDS)
    try:
        if "LOGINDISABLED" not in reader.capabilities or any(one.startswith("AUTH=") for one in reader.capabilities):
            raise CheckFailed(f"IMAP at {host}:{port} offers a login without TLS: {' '.join(reader.capabilities)}")
        with contextlib.suppress(imaplib.IMAP4.error):
            reader.login(ANNA.login, bench.password)
            raise CheckFailed(f"IMAP at {host}:{port} took a login without TLS")
    finally:
        reader.shutdown()


def pop3_in_the_clear(bench: Bench, host: str, port: int) -> None:
    """No login is taken."""
    pop = poplib.POP3(host, port, timeout=SECONDS)
    try:
        with contextlib.suppress(poplib.error_proto):
            pop.user(ANNA.login)
            pop.pass_(bench.password)
            raise CheckFailed(f"POP3 at {host}:{port} took a login without TLS")
    finally:
        pop.close()


def sieve_in_the_clear(bench: Bench, host: str, port: int) -> None:
    """No login is offered, none is taken."""
    with ManageSieve(host, port) as sieve:
        if sieve.capabilities.get("SASL"):
            raise CheckFailed(f"ManageSieve at {host}:{port} offers a login without TLS: {sieve.capabilities['SASL']}")
        with contextlib.suppress(SieveError):
            sieve.login(ANNA.login, bench.password)
            raise CheckFailed(f"ManageSieve at {host}:{port} took a login without TLS")


IN_THE_CLEAR: Mapping[int, Callable[[Bench, str, int], None]] = {
    143: imap_in_the_clear, 110: pop3_in_the_clear, 4190: sieve_in_the_clear}


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
                    sieve = SIBLINGS.get(self.port, self.port) == 4190
                    while said[3:4] == "-" or (sieve and said.startswith('"')):
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


CHECKS: tuple[tuple[str, Check], ...] = (
    ("no password is asked for without TLS", no_password_in_the_clear),
    ("TLS is of the floor or better on every port", tls_floor),
    *guessing.CHECKS,
)
