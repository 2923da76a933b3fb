"""The way out: users who log in send as themselves, scanned and signed; nobody else sends anything."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import dkim

from mailimg.clients import letters, smtp
from mailimg.clients.submission import Account, session, submit
from mailimg.peers import addresses as at
from mailimg.peers.directory import SERVICE, USERS
from mailimg.verify import metrics
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until
from mailimg.verify.scenarios.mx import (
    DISGUISED,
    FOREIGN,
    SENDER,
    UNKNOWN,
    ask,
    expect_refused,
    expect_taken,
    first_difference,
    queue,
    queue_empty,
)

TUNING: Mapping[str, Any] = {"scanners": 2, "auth_workers": 2}

ANNA, BELA = USERS[0], USERS[1]
PORTS = (25, 587, 465)
# What webmails write into a message of the user's place.
HOME4 = "192.0.2.77"
WHERE = (f"X-Originating-IP: [{HOME4}]\r\n".encode(), f"X-Forward: {HOME4}, 127.0.0.1\r\n".encode())


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (
        ("no password is asked for without TLS", no_auth_in_the_clear),
        ("TLS older than 1.2 is refused", old_tls_refused),
        ("a wrong, empty or foreign login is refused", wrong_login_refused),
        ("a message to the Internet arrives unchanged and signed", signed_and_sent),
        ("every port and mechanism takes a login", ports_and_mechanisms),
        ("a mail domain goes to the delivery layer", own_domain_delivered),
        ("an unknown recipient of a mail domain is refused", unknown_refused),
        ("nobody sends as somebody else", foreign_sender_refused),
        ("the platform's own account sends for all", service_sends),
        ("a virus is refused during SMTP", virus_refused),
        ("no relaying without a login", no_relay),
        ("without scanner or signer mail waits", milters_needed),
        ("a directory outage only delays", outage_delays),
        ("the metrics count what is deferred", deferred_counted),
        ("the metrics tell of a signer that has stopped", stopped_told),
        ("nothing stays in the queue", queue_empty),
    )


def account(bench: Bench, login: str = ANNA.login, mechanism: str = "PLAIN") -> Account:
    """A login that works."""
    return Account(login, bench.directory.password, mechanism)


def send(bench: Bench, sender: str, recipient: str, content: bytes | None = None, login: str = ANNA.login,
         port: int = 587) -> smtp.Reply:
    """Send as a user does."""
    return submit(port, bench.platform.client_tls(), account(bench, login), sender, recipient, content)


def no_auth_in_the_clear(bench: Bench) -> str:
    """AUTH is not offered, and not taken when it is tried nevertheless."""
    for port in (25, 587):
        with session(port, None) as client:
            if client.has_extn("auth"):
                raise CheckFailed(f"port {port} offers AUTH without TLS")
            code, text = client.docmd("AUTH", "PLAIN AGFubmEAeA==")
            if code < 500:
                raise CheckFailed(f"port {port}: expected 5xx to AUTH, got {code} {text!r}")
    reply = submit(587, None, None, ANNA.mail, FOREIGN)
    return expect_refused(reply, 530)


def old_tls_refused(bench: Bench) -> str:
    """TLS 1.1 fails, 1.2 works."""
    for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        context = bench.platform.client_tls()
        context.set_ciphers("ALL:@SECLEVEL=0")
        # In this order: the lowest version must never be above the highest.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
        try:
            with session(465, context):
                spoke = True
        except (ssl.SSLError, smtplib.SMTPException, OSError):
            spoke = False
        if spoke != works:
            raise CheckFailed(f"{version.name}: expected {'a session' if works else 'a refusal'}, got the contrary")
    return "TLS 1.1 refused, TLS 1.2 taken"


def wrong_login_refused(bench: Bench) -> str:
    """An empty password would be taken by the directory as a login of nobody."""
    tls, good = bench.platform.client_tls(), bench.directory.password
    wrong = (Account(ANNA.login, "wrong"), Account(ANNA.login, ""), Account("nobody", good), Account("*", good),
             Account(ANNA.mail, good), Account("team", good))
    for one in wrong:
        for mechanism in ("PLAIN", "LOGIN"):
            reply = submit(587, tls, Account(one.login, one.password, mechanism), ANNA.mail, FOREIGN)
            # An empty password or name may already be an error of the mechanism's grammar.
            if reply.stage != "AUTH" or reply.code not in (535, 501):
                raise CheckFailed(f"{one.login!r} by {mechanism}: expected 535, got {reply}")
    return f"{len(wrong)} logins by PLAIN and LOGIN"


def signed_and_sent(bench: Bench) -> str:
    """Found by MX, body untouched, the signature verifies with the key in DNS, the user's address does not show."""
    sent = letters.clean(FOREIGN, ANNA.mail)
    expect_taken(send(bench, ANNA.mail, FOREIGN, b"".join(WHERE) + sent.content))
    got = bench.platform.internet.wait(sent.message_id, bench.patience)
    if got is None:
        raise CheckFailed(f"it did not arrive within {bench.patience:g} s; queue:\n{queue(bench)}")
    if (got.sender, got.recipients) != (ANNA.mail, (FOREIGN,)):
        raise CheckFailed(f"the envelope changed: {got.sender} to {', '.join(got.recipients)}")
    if got.body != sent.body:
        raise CheckFailed(f"the body changed: {first_difference(sent.body, got.body)}")
    told = [word for word in (at.SENDER4, "pc-17.home", HOME4) if word.encode() in got.content]
    if told:
        raise CheckFailed(f"tells the Internet about the user: {', '.join(told)}\n{got.head.get('received')}")
    verify_signature(got.content, bench.platform.dkim_record)
    return f"{at.DKIM_NAME}: the signature verifies"


def verify_signature(content: bytes, record: str) -> None:
    """Check the message's DKIM signature against the one key that DNS has.

    Raises:
        CheckFailed: there is none, it names another key, or it does not hold.
    """
    asked: list[str] = []

    def resolve(name: bytes, timeout: int = 5) -> bytes | None:
        asked.append(name.decode().rstrip("."))
        return record.encode() if asked[-1] == at.DKIM_NAME else None

    try:
        good = dkim.verify(content, dnsfunc=resolve)
    except dkim.DKIMException as error:
        raise CheckFailed(f"DKIM: {error}") from error
    if not good:
        raise CheckFailed(f"DKIM: the signature does not hold; keys asked for: {', '.join(asked) or 'none'}")


def ports_and_mechanisms(bench: Bench) -> str:
    """25 and 587 by STARTTLS, 465 by TLS from the start; PLAIN and LOGIN; the case of a login does not matter."""
    for port in PORTS:
        for mechanism in ("PLAIN", "LOGIN"):
            for login in (ANNA.login, ANNA.login.upper()):
                who = account(bench, login, mechanism)
                reply = submit(port, bench.platform.client_tls(), who, ANNA.mail, FOREIGN)
                if not reply.taken:
                    raise CheckFailed(f"port {port}, {mechanism}, {login}: {reply}")
    return f"{', '.join(map(str, PORTS))} with PLAIN and LOGIN"


def own_domain_delivered(bench: Bench) -> str:
    """Not to the MX, which DNS has for the domain."""
    sent = letters.clean(BELA.mail, ANNA.mail)
    expect_taken(send(bench, ANNA.mail, BELA.mail, sent.content))
    if bench.sink.wait(sent.message_id, bench.patience) is None:
        raise CheckFailed(f"it did not arrive within {bench.patience:g} s")
    return f"at {at.DELIVERY_NAME}"


def unknown_refused(bench: Bench) -> str:
    """At once, so that a slip of the pen is told to who made it."""
    return expect_refused(send(bench, ANNA.mail, UNKNOWN), 550)


def foreign_sender_refused(bench: Bench) -> str:
    """Neither a colleague's address nor one of another domain."""
    for sender in (BELA.mail, f"team@{at.DOMAIN}", UNKNOWN, SENDER):
        reply = send(bench, sender, FOREIGN)
        if not reply.refused:
            raise CheckFailed(f"{ANNA.login} as {sender}: expected 5xx, got {reply}")
    return "a colleague, a list, an unknown address, another domain"


def service_sends(bench: Bench) -> str:
    """Bounces have no sender, forwarded mail that of a stranger."""
    sent = letters.clean(FOREIGN)
    expect_taken(send(bench, "", FOREIGN, sent.content, SERVICE))
    got = bench.platform.internet.wait(sent.message_id, bench.patience)
    if got is None:
        raise CheckFailed(f"a bounce did not arrive within {bench.patience:g} s")
    if got.sender:
        raise CheckFailed(f"the null sender became {got.sender}")
    for sender in (SENDER, BELA.mail):
        expect_taken(send(bench, sender, FOREIGN, None, SERVICE))
    return f"{SERVICE} as nobody, {SENDER} and {BELA.mail}"


def virus_refused(bench: Bench) -> str:
    """The sender is told, and nothing is sent on."""
    sent = letters.virus(FOREIGN)
    answer = expect_refused(send(bench, ANNA.mail, FOREIGN, sent.content))
    if "DATA" not in answer or bench.platform.internet.find(sent.message_id) is not None:
        raise CheckFailed(f"not refused for its content: {answer}")
    return answer


def no_relay(bench: Bench) -> str:
    """From the Internet (IPv4, IPv6) and the server network, with and without a sender, plain and disguised."""
    tried = 0
    sources = ((at.SENDER4, at.NODE4), (at.SENDER6, at.NODE6), (at.HOST4, at.NODE4))
    for source, node in sources:
        for sender in (SENDER, ANNA.mail, ""):
            for recipient in (FOREIGN, BELA.mail, *DISGUISED):
                reply = ask(sender, recipient, source, node)
                if not reply.refused:
                    raise CheckFailed(f"{sender or '<>'} to {recipient} from {source}: {reply}")
                tried += 1
    return f"{tried} forms refused"


def milters_needed(bench: Bench) -> str:
    """Each of the two is stopped for a moment."""
    answers = []
    for service in ("clamav_milter", "opendkim"):
        unit = bench.node.role()["facts"][service]["unit"]
        sent = letters.clean(FOREIGN, ANNA.mail)
        bench.node.ask(["systemctl", "stop", unit])
        try:
            reply = send(bench, ANNA.mail, FOREIGN, sent.content)
        finally:
            bench.node.ask(["systemctl", "start", unit])
        if not reply.temporary:
            raise CheckFailed(f"{service} stopped: expected 4xx, got {reply}")
        answers.append(f"{service}: {reply}")
    if not until(lambda: send(bench, ANNA.mail, FOREIGN).taken, 60):
        raise CheckFailed("both are back for a minute, and still nothing is taken")
    return "; ".join(answers)


def outage_delays(bench: Bench) -> str:
    """While the directory is away nobody is told that his password is wrong."""
    bench.directory.stop()
    try:
        reply = send(bench, ANNA.mail, FOREIGN)
    finally:
        bench.directory.start()
    if not reply.temporary:
        raise CheckFailed(f"directory stopped: expected 4xx, got {reply}")
    if not until(lambda: send(bench, ANNA.mail, FOREIGN).taken, 60):
        raise CheckFailed(f"directory back for a minute, and still {send(bench, ANNA.mail, FOREIGN)}")
    return str(reply)


def deferred_counted(bench: Bench) -> str:
    """The Internet is busy for a moment."""
    def send_out() -> letters.Letter:
        sent = letters.clean(FOREIGN, ANNA.mail)
        expect_taken(send(bench, ANNA.mail, FOREIGN, sent.content))
        return sent

    return metrics.deferred(bench, bench.platform.internet, send_out)


def stopped_told(bench: Bench) -> str:
    """Nothing is signed while OpenDKIM is away."""
    return metrics.stopped(bench, "opendkim", "dkim")
