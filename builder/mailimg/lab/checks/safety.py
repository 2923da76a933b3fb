"""Who must not get through does not: no relay, no password in the clear, no old TLS, no open port, no quick guess."""

from __future__ import annotations

import contextlib
import smtplib
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mailimg.clients import submission
from mailimg.clients.smtp import Reply
from mailimg.clients.submission import Account, submit
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, doors, traces
from mailimg.lab.checks.mail import ANNA, BELA, FOREIGN, SENDER
from mailimg.lab.plan import NodePlan
from mailimg.peers import addresses as names
from mailimg.verify.scenarios.mx import DISGUISED

SSH, DNS, CHRONY = 22, 53, 323
SIBLING_LMTP = 10124
# UDP on loopback that role.yaml need not name; of bindresvport's numbers rpc.statd takes one to talk with lockd.
OWN_UDP = {DNS, CHRONY, *range(600, 1024)}
CONNECT_SECONDS = 3.0
# Sender and recipient: a stranger, somebody of ours, nobody; plainly and in disguise.
FORMS = (*((SENDER, recipient) for recipient in (FOREIGN, *DISGUISED)), (ANNA.mail, FOREIGN), ("", FOREIGN))


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return (
        ("nobody relays: IPv4, IPv6, balancer, every SMTP port", no_relay),
        ("filter ports and other inner ports are out of reach", inner_ports_closed),
        ("nothing listens that role.yaml does not name", listeners),
        ("a user sends as nobody else", own_address_only),
        *doors.CHECKS,
        *traces.CHECKS,
    )


@dataclass(frozen=True)
class Entrance:
    """A way to an SMTP server: where, and from where."""

    role: str
    address: str
    port: int
    source: str

    def __str__(self) -> str:
        return f"{self.role} at {self.address}:{self.port} from {self.source}"


def entrances(bench: Bench) -> Iterator[Entrance]:
    """From the Internet and the balancer, by virtual address and node, IPv4 and IPv6."""
    for vip, role, ports in (("smtp-in", "smtp-in", (25,)), ("smtp-out", "smtp-out", (25, 587, 465)),
                             ("delivery", "pop-imap-lda", (25,))):
        for port in ports:
            inside = role == "pop-imap-lda"  # whose virtual address takes no connection from elsewhere
            yield Entrance(role, bench.address(vip), port, at.GATEWAY4 if inside else at.SENDER4)
            yield Entrance(role, bench.address(vip, 6), port, at.GATEWAY6 if inside else at.SENDER6)
            for node in bench.of(role):
                for source in (at.BALANCER4, at.GATEWAY4, at.HOME4):
                    yield Entrance(role, node.address4, port, source)
                for source in (at.GATEWAY6, at.SENDER6):
                    yield Entrance(role, node.address6, port, source)


def no_relay(bench: Bench) -> str:
    """Every form by every entrance, each in a session of its own, is refused for good."""
    ways = [(one, *form) for one in entrances(bench) for form in FORMS]
    # smtp-out takes nothing at all without a login.
    ways += [(one, SENDER, BELA.mail) for one in entrances(bench) if one.role == "smtp-out"]

    def tried(way: tuple[Entrance, str, str]) -> Reply:
        entrance, sender, recipient = way
        tls = None if entrance.port == 25 else bench.tls
        return submit(entrance.port, tls, None, sender, recipient, source=entrance.source, server=entrance.address)

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(tried, ways))
    wrong = [f"{way[0]}: {way[1] or '<>'} to {way[2]}: {reply}" for way, reply in zip(ways, replies, strict=True)
             if not reply.refused]
    wrong += [f"LMTP of {node.name} from {source}: {sender or '<>'} to {recipient}: {code}"
              for node in bench.of("pop-imap-lda") for source in (at.GATEWAY4, at.HOME4)
              for sender, recipient, code in by_lmtp(node, source) if not 500 <= code < 600]
    outside = submit(25, None, None, SENDER, BELA.mail, source=at.HOME4, server=bench.address("delivery"))
    if outside.code > 0:
        wrong.append(f"the delivery layer's virtual address talks to the Internet: {outside}")
    if wrong:
        raise CheckFailed("\n".join(wrong))
    return f"{len(ways)} tries by {len({str(way[0]) for way in ways})} ways, all 5xx; LMTP for mailboxes only"


def by_lmtp(node: NodePlan, source: str) -> Iterator[tuple[str, str, int]]:
    """What the port for the other mailbox servers answers to each form: sender, recipient, code of the last answer."""
    for sender, recipient in FORMS:
        with smtplib.LMTP(node.address4, SIBLING_LMTP, "scan.example", (source, 0)) as client:
            code, _ = client.mail(sender)
            yield sender, recipient, client.rcpt(recipient)[0] if code == 250 else code


def inner(bench: Bench, node: NodePlan) -> set[int]:
    """The ports of a node that are for itself alone."""
    public = {int(port["port"]) for port in bench.nodes[node.name].role()["ports"]}
    return set(node.listeners) - public - {SSH}


def inner_ports_closed(bench: Bench) -> str:
    """From the server network, the balancer and the Internet, by both protocols, and through no virtual address."""
    tried, wrong = 0, []
    for node in bench.plan.nodes:
        places = [(node.address4, source) for source in (at.GATEWAY4, at.BALANCER4, at.HOME4)]
        places += [(node.address6, source) for source in (at.GATEWAY6, at.SENDER6)]
        places += [(vip.address4, at.HOME4) for vip in bench.plan.vips if vip.role == node.role]
        for port in sorted(inner(bench, node)):
            for address, source in places:
                tried += 1
                if reachable(address, port, source):
                    wrong.append(f"{node.name}: {address}:{port} from {source}")
        # Whether a port that is open would have been noticed.
        if not reachable(node.address4, SSH, at.GATEWAY4):
            wrong.append(f"{node.name}: not even port {SSH} answers, so nothing is proved")
    if wrong:
        raise CheckFailed("\n".join(wrong))
    return f"{tried} connections refused: " + "; ".join(
        f"{node.name} {', '.join(map(str, sorted(inner(bench, node))))}" for node in bench.plan.nodes)


def reachable(address: str, port: int, source: str) -> bool:
    """Whether somebody takes a connection."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), CONNECT_SECONDS, (source, 0)):
        return True
    return False


def parse_sockets(text: str) -> set[tuple[str, int, bool]]:
    """`ss -lntu`: protocol, port, and whether it is bound to loopback only; the header is skipped."""
    found = set()
    for row in (line.split() for line in text.splitlines()):
        if row and row[0] in ("tcp", "udp"):
            address, _, port = row[4].rpartition(":")
            host = address.strip("[]").partition("%")[0]
            found.add((row[0], int(port), host.startswith(("127.", "::ffff:127.")) or host == "::1"))
    return found


def surplus(found: set[tuple[str, int, bool]], named: set[int], own: set[int]) -> list[str]:
    """What listens without a name.

    Args:
        named: what role.yaml names, with SSH and the local resolver.
        own: those of it that must be bound to loopback.
    """
    wrong = [f"tcp {port} is not named" for kind, port, _ in sorted(found) if kind == "tcp" and port not in named]
    wrong += [f"tcp {port} is not on loopback only" for kind, port, local in sorted(found)
              if kind == "tcp" and port in own and not local]
    wrong += [f"udp {port} is not named" for kind, port, local in sorted(found)
              if kind == "udp" and not (local and port in OWN_UDP) and port not in named - own]
    there = {port for kind, port, _ in found if kind == "tcp"}
    return wrong + [f"tcp {port} is named and does not listen" for port in sorted(named - there)]


def listeners(bench: Bench) -> str:
    """TCP and UDP; what is for the node itself is bound to loopback."""
    wrong, told = [], []
    for node in bench.plan.nodes:
        found = parse_sockets(bench.nodes[node.name].ask(["ss", "-lntu"]))
        wrong += [f"{node.name}: {line}" for line in surplus(found, set(node.listeners), inner(bench, node))]
        told.append(f"{node.name} {len({(kind, port) for kind, port, _ in found})}")
    if wrong:
        raise CheckFailed("\n".join(wrong))
    return "sockets: " + ", ".join(told)


def own_address_only(bench: Bench) -> str:
    """By every port; who wrote is the mail program's word (docs/smtp-out.md promises the envelope, not From)."""
    others = (BELA.mail, f"team@{names.DOMAIN}", f"nobody@{names.DOMAIN}", f"postmaster@{names.DOMAIN}", SENDER)
    account = Account(ANNA.login, bench.password)
    for port in (25, 587, 465):
        for sender in others:
            reply = submit(port, bench.tls, account, sender, FOREIGN, source=at.HOME4, server=bench.host("smtp-out"))
            if not reply.refused or reply.stage == "AUTH":
                raise CheckFailed(f"port {port}: {ANNA.login} as {sender}: expected 5xx to MAIL, got {reply}")
        reply = submit(port, bench.tls, account, ANNA.mail, FOREIGN, source=at.HOME4, server=bench.host("smtp-out"))
        if not reply.taken:
            raise CheckFailed(f"port {port}: not even as {ANNA.mail}: {reply}")
    with submission.session(587, bench.tls, at.HOME4, bench.host("smtp-out")) as client:
        code, text = client.docmd("VRFY", ANNA.mail)
        if code == 250:
            raise CheckFailed(f"VRFY tells who is there: {text!r}")
    return f"{len(others)} senders by 25, 587 and 465: 5xx; the envelope is what is promised, not From"
