"""An MX: takes mail for its domains and known recipients only, filters it, and loses nothing."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.clients import letters, smtp, submission
from mailimg.peers import addresses as at
from mailimg.peers.directory import GROUPS, USERS
from mailimg.verify import metrics
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until

# Two filter processes: an emulated CPU would spend its first minutes on starting sixteen.
TUNING: Mapping[str, Any] = {"amavis_workers": 2}

SENDER = f"sender@{at.SENDER_DOMAIN}"
KNOWN = USERS[0].mail
LIST = GROUPS[0].mail
UNKNOWN = f"nobody@{at.DOMAIN}"
FOREIGN = f"someone@{at.FOREIGN_DOMAIN}"

# What a relay by mistake has taken again and again: routes hidden in the local part.
DISGUISED = (
    f"someone%{at.FOREIGN_DOMAIN}@{at.DOMAIN}",
    f"{at.FOREIGN_DOMAIN}!someone@{at.DOMAIN}",
    f'"someone@{at.FOREIGN_DOMAIN}"@{at.DOMAIN}',
    f"@{at.DOMAIN}:{FOREIGN}",
)


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (
        ("a list is a known recipient", list_known),
        ("an unknown recipient is refused", unknown_refused),
        ("a clean message arrives unchanged", clean_arrives),
        ("TLS is there for senders that want it", tls_offered),
        ("spam goes to quarantine", spam_quarantined),
        ("a virus goes to quarantine", virus_quarantined),
        ("no relaying from the Internet (IPv4)", no_relay_ipv4),
        ("no relaying from the Internet (IPv6)", no_relay_ipv6),
        ("no relaying from the server network", no_relay_own_network),
        ("no relaying by disguised recipients", no_relay_disguised),
        ("SPF fail is refused", spf_refused),
        ("a directory outage only delays", outage_delays),
        ("the metrics count what is deferred", deferred_counted),
        ("the metrics tell of a clamd that hangs", hung_told),
        ("nothing stays in the queue", queue_empty),
    )


def ask(sender: str, recipient: str, source: str = at.SENDER4, address: str = at.NODE4) -> smtp.Reply:
    """Whether the node would take this from the Internet."""
    return smtp.ask(address, source, sender, recipient)


def expect_taken(reply: smtp.Reply) -> str:
    """The detail of a yes."""
    if not reply.taken:
        raise CheckFailed(f"expected 250, got {reply}")
    return str(reply)


def expect_refused(reply: smtp.Reply, *codes: int) -> str:
    """The detail of a final no; with codes, only these count."""
    if not reply.refused or (codes and reply.code not in codes):
        raise CheckFailed(f"expected {' or '.join(map(str, codes)) or '5xx'}, got {reply}")
    return str(reply)


def list_known(bench: Bench) -> str:
    """A distribution list of the directory is taken like a person."""
    return expect_taken(ask(SENDER, LIST))


def unknown_refused(bench: Bench) -> str:
    """During SMTP, so that no bounce to a forged sender is ever written."""
    return expect_refused(ask(SENDER, UNKNOWN), 550)


def clean_arrives(bench: Bench) -> str:
    """At the delivery layer, through both scanners, body and envelope untouched."""
    sent = letters.clean(KNOWN)
    expect_taken(smtp.deliver(at.NODE4, at.SENDER4, SENDER, KNOWN, sent.content))
    got = bench.sink.wait(sent.message_id, bench.patience)
    if got is None:
        raise CheckFailed(f"it did not arrive within {bench.patience:g} s; queue:\n{queue(bench)}")
    if (got.sender, got.recipients) != (SENDER, (KNOWN,)):
        raise CheckFailed(f"the envelope changed: {got.sender} to {', '.join(got.recipients)}")
    if got.body != sent.body:
        raise CheckFailed(f"the body changed: {first_difference(sent.body, got.body)}")
    missing = [name for name in ("x-virus-scanned", "x-spam-score") if name not in got.head]
    if missing:
        raise CheckFailed(f"without the headers {', '.join(missing)}: a scanner was passed by")
    return f"X-Spam-Score {got.head['x-spam-score']}, {len(got.content)} bytes"


def tls_offered(bench: Bench) -> str:
    """With the layer's certificate; a sender that does not want it is served as well (the other checks)."""
    sent = letters.clean(KNOWN)
    with submission.session(25, bench.platform.client_tls(), at.SENDER4) as client:
        spoke = client.sock.version() if isinstance(client.sock, ssl.SSLSocket) else None
        expect_taken(smtp.converse(client, SENDER, KNOWN, sent.content))
    if bench.sink.wait(sent.message_id, bench.patience) is None:
        raise CheckFailed(f"it did not arrive within {bench.patience:g} s; queue:\n{queue(bench)}")
    return str(spoke)


def spam_quarantined(bench: Bench) -> str:
    """Spam is not delivered and not lost."""
    return quarantined(bench, letters.spam(KNOWN))


def virus_quarantined(bench: Bench) -> str:
    """Nor is a virus."""
    return quarantined(bench, letters.virus(KNOWN))


def quarantined(bench: Bench, sent: letters.Letter) -> str:
    """A message is found in the node's quarantine and does not reach the delivery layer."""
    folder = bench.node.role()["facts"]["amavis"]["quarantine"]
    expect_taken(smtp.deliver(at.NODE4, at.SENDER4, SENDER, KNOWN, sent.content))
    found: list[str] = []

    def look() -> bool:
        found[:] = bench.node.files_with(folder, sent.message_id)
        return bool(found) or bench.sink.find(sent.message_id) is not None

    until(look, bench.patience)
    if bench.sink.find(sent.message_id) is not None:
        raise CheckFailed("it was delivered")
    if not found:
        raise CheckFailed(f"not in {folder} after {bench.patience:g} s; queue:\n{queue(bench)}")
    # Kept and delivered as well would be wrong; a later message has to overtake it before that is excluded.
    marker = letters.clean(KNOWN)
    expect_taken(smtp.deliver(at.NODE4, at.SENDER4, SENDER, KNOWN, marker.content))
    if bench.sink.wait(marker.message_id, bench.patience) is None:
        raise CheckFailed(f"the clean message after it did not arrive within {bench.patience:g} s")
    if bench.sink.find(sent.message_id) is not None:
        raise CheckFailed("it is in quarantine, but it was delivered as well")
    return found[0]


def no_relay_ipv4(bench: Bench) -> str:
    """From an IPv4 address of the Internet."""
    return expect_refused(ask(SENDER, FOREIGN))


def no_relay_ipv6(bench: Bench) -> str:
    """From an IPv6 address of the Internet."""
    return expect_refused(ask(SENDER, FOREIGN, at.SENDER6, at.NODE6))


def no_relay_own_network(bench: Bench) -> str:
    """From a server's address: the load balancer has one, and the whole Internet comes through it."""
    return expect_refused(ask(SENDER, FOREIGN, at.HOST4))


def no_relay_disguised(bench: Bench) -> str:
    """A foreign destination hidden in the address is refused, from both sides."""
    for source in (at.SENDER4, at.HOST4):
        for recipient in DISGUISED:
            reply = ask(SENDER, recipient, source)
            if not reply.refused:
                raise CheckFailed(f"{recipient} from {source}: {reply}")
    return f"{len(DISGUISED)} forms refused from the Internet and from the server network"


def spf_refused(bench: Bench) -> str:
    """A domain that says it sends no mail; and one that names the sender's address passes."""
    expect_taken(ask(SENDER, KNOWN))
    return expect_refused(ask(f"sender@{at.FORGED_DOMAIN}", KNOWN))


def outage_delays(bench: Bench) -> str:
    """While the directory is away nobody is told that an address does not exist."""
    bench.directory.stop()
    try:
        replies = [ask(SENDER, recipient) for recipient in (KNOWN, UNKNOWN)]
    finally:
        bench.directory.start()
    for reply in replies:
        if not reply.temporary:
            raise CheckFailed(f"directory stopped: expected 4xx, got {reply}")
    if not until(lambda: ask(SENDER, KNOWN).taken, 60):
        raise CheckFailed(f"directory back for a minute, and still {ask(SENDER, KNOWN)}")
    expect_refused(ask(SENDER, UNKNOWN), 550)
    return str(replies[0])


def deferred_counted(bench: Bench) -> str:
    """The delivery layer is busy for a moment."""
    def send() -> letters.Letter:
        sent = letters.clean(KNOWN)
        expect_taken(smtp.deliver(at.NODE4, at.SENDER4, SENDER, KNOWN, sent.content))
        return sent

    return metrics.deferred(bench, bench.sink, send)


def hung_told(bench: Bench) -> str:
    """Connections are taken by the kernel; only an answer tells."""
    return metrics.hung(bench, "clamd", "clamd")


def queue_empty(bench: Bench) -> str:
    """No bounce was written, nothing waits."""
    if not until(lambda: "is empty" in queue(bench), 30):
        raise CheckFailed(queue(bench))
    return "the queue is empty"


def queue(bench: Bench) -> str:
    """The node's mail queue."""
    return bench.node.ask(["postqueue", "-p"])


def first_difference(sent: bytes, got: bytes) -> str:
    """The first line in which two bodies differ."""
    left, right = sent.split(b"\r\n"), got.split(b"\r\n")
    for number, (one, other) in enumerate(zip(left, right, strict=False), 1):
        if one != other:
            return f"line {number}: sent {one[:80]!r} ({len(one)} octets), got {other[:80]!r} ({len(other)} octets)"
    return f"sent {len(left)} lines, got {len(right)}"
