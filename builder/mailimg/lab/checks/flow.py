"""Mail flows: in from the Internet, out to it, among colleagues; and people find what they need in their mailboxes."""

from __future__ import annotations

import email
from collections.abc import Sequence

import dkim

from mailimg.clients import letters, mailbox, smtp
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, Check, CheckFailed, access, until
from mailimg.lab.checks.mail import (
    ANNA,
    BELA,
    CARLA,
    FOREIGN,
    SENDER,
    by_user,
    from_internet,
    in_mailbox,
    on_internet,
    once_in_mailbox,
    queues,
    queues_empty,
    stored,
    taken,
)
from mailimg.peers import addresses as names
from mailimg.peers.directory import USERS
from mailimg.verify.scenarios.mx import first_difference


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return (
        ("mail from the Internet is read by IMAP as it was sent", read_by_imap),
        ("the same mailbox is read by POP3", read_by_pop3),
        ("every mailbox server shows it", on_both_servers),
        ("a user's mail leaves signed with the published key", leaves_signed),
        ("internal mail goes straight to delivery", internal_mail),
        ("a list in a list reaches each member once", nested_list),
        ("marked spam lands in Junk", spam_in_junk),
        ("a virus arrives nowhere", virus_nowhere),
        ("a full mailbox answers 4xx, by the directory's quota", quota_kept),
        ("a bounce leaves through smtp-out", bounce_leaves),
        *access.CHECKS,
        ("nothing waits in a queue", nothing_waits),
    )


def read_by_imap(bench: Bench) -> str:
    """Through both filters, delivery and storage; the body has everything that relays like to change."""
    sent = letters.clean(BELA.mail)
    from_internet(bench, sent, BELA.mail)
    got = once_in_mailbox(bench, BELA.login, sent)
    head = email.message_from_bytes(got)
    body = got.partition(b"\r\n\r\n")[2]
    if body != sent.body:
        raise CheckFailed(f"the body changed: {first_difference(sent.body, body)}")
    missing = [name for name in ("X-Virus-Scanned", "X-Spam-Score") if name not in head]
    if missing:
        raise CheckFailed(f"without the headers {', '.join(missing)}: a scanner was passed by")
    # One mailbox server has filed it; the others may know the folder as it was a moment ago.
    messages: list[str] = []

    def look() -> bool:
        messages[:] = [name for name in stored(bench, [BELA.login], sent.message_id) if ",S=" in name]
        return bool(messages)

    until(look, bench.patience)
    if len(messages) != 1 or not messages[0].startswith("/MAILBOXES/") or "/Maildir/" not in messages[0]:
        raise CheckFailed(f"on the storage: {messages or 'nothing'}")
    return f"X-Spam-Score {head['X-Spam-Score']}; {messages[0].partition('/Maildir/')[0]}"


def read_by_pop3(bench: Bench) -> str:
    """The newest message is the one of the check before, or a later one; each has what a message has."""
    sent = letters.clean(BELA.mail)
    from_internet(bench, sent, BELA.mail)
    in_mailbox(bench, BELA.login, sent)
    with mailbox.pop3(bench.tls, BELA.login, bench.password, bench.host("pop")) as client:
        count, size = client.stat()
        if not any(sent.message_id.encode() in b"\n".join(client.retr(number)[1]) for number in range(count, 0, -1)):
            raise CheckFailed(f"not among {count} messages")
    return f"{count} messages, {size} bytes"


def on_both_servers(bench: Bench) -> str:
    """They share the storage: a message that one has filed is at once on the others."""
    sent = letters.clean(ANNA.mail)
    from_internet(bench, sent, ANNA.mail)
    in_mailbox(bench, ANNA.login, sent)
    for node in bench.of("pop-imap-lda"):
        host = f"{node.name}.{names.CLOUD_DOMAIN}"
        with mailbox.imap(bench.tls, ANNA.login, bench.password, host) as client:
            copies = len(mailbox.find(client, "INBOX", sent.message_id, 20))
        if copies != 1:
            raise CheckFailed(f"{node.name} has {copies} copies")
    return ", ".join(node.name for node in bench.of("pop-imap-lda"))


def leaves_signed(bench: Bench) -> str:
    """By each port, with AUTH over TLS; the signature holds with the key that the lab's DNS has."""
    for port in (25, 587, 465):
        sent = letters.clean(FOREIGN, ANNA.mail)
        taken(by_user(bench, sent, FOREIGN, port=port))
        got = on_internet(bench, bench.receiver, sent)
        if (got.sender, got.recipients) != (ANNA.mail, (FOREIGN,)):
            raise CheckFailed(f"port {port}: the envelope changed: {got.sender} to {', '.join(got.recipients)}")
        body = got.content.partition(b"\r\n\r\n")[2]
        if body != sent.body:
            raise CheckFailed(f"port {port}: the body changed: {first_difference(sent.body, body)}")
        try:
            good = dkim.verify(got.content)
        except dkim.DKIMException as error:
            raise CheckFailed(f"port {port}: DKIM: {error}") from error
        if not good:
            raise CheckFailed(f"port {port}: the DKIM signature does not hold with {at.DKIM_NAME}")
    return f"25, 587, 465; {at.DKIM_NAME}"


def internal_mail(bench: Bench) -> str:
    """Neither the MX nor the Internet sees it."""
    sent = letters.clean(BELA.mail, ANNA.mail)
    taken(by_user(bench, sent, BELA.mail))
    got = once_in_mailbox(bench, BELA.login, sent)
    hops = email.message_from_bytes(got).get_all("Received", [])
    way = " ".join(hops)
    if "by smtp-out-" not in way or "by smtp-in-" in way:
        raise CheckFailed(f"by another way: {way}")
    if bench.sender.find(sent.message_id) or bench.receiver.find(sent.message_id):
        raise CheckFailed("it reached the Internet")
    return f"{len(hops)} hops, from smtp-out to delivery"


def nested_list(bench: Bench) -> str:
    """`all` holds `team` and anna, who is in `team` as well."""
    sent = letters.clean(f"all@{names.DOMAIN}")
    from_internet(bench, sent, f"all@{names.DOMAIN}")
    for user in (ANNA, BELA):
        copies = len(in_mailbox(bench, user.login, sent))
        if copies != 1:
            raise CheckFailed(f"{user.login} got {copies} copies")
    with mailbox.imap(bench.tls, CARLA.login, bench.password, bench.host("imap")) as client:
        if mailbox.find(client, "INBOX", sent.message_id):
            raise CheckFailed(f"{CARLA.login}, who is no member, got it")
    return f"{ANNA.login} and {BELA.login}"


def spam_in_junk(bench: Bench) -> str:
    """GTUBE, which the lab's levels mark and do not keep back."""
    sent = letters.spam(ANNA.mail)
    from_internet(bench, sent, ANNA.mail)
    got = once_in_mailbox(bench, ANNA.login, sent, "Junk")
    head = email.message_from_bytes(got)
    with mailbox.imap(bench.tls, ANNA.login, bench.password, bench.host("imap")) as client:
        if mailbox.find(client, "INBOX", sent.message_id):
            raise CheckFailed("it is in INBOX as well")
    return f"X-Spam-Flag {head['X-Spam-Flag']}, score {head['X-Spam-Score']}"


def virus_nowhere(bench: Bench) -> str:
    """Inwards it stays in quarantine, outwards the sender is told; looked for when a later message has overtaken it."""
    sent = letters.virus(ANNA.mail)
    from_internet(bench, sent, ANNA.mail)
    outwards = letters.virus(FOREIGN)
    reply = by_user(bench, outwards, FOREIGN)
    if not reply.refused:
        raise CheckFailed(f"outwards: expected 5xx, got {reply}")
    inner = letters.virus(BELA.mail)
    inwards = by_user(bench, inner, BELA.mail)
    if not inwards.refused:
        raise CheckFailed(f"to a colleague: expected 5xx, got {inwards}")
    gate = bench.first("smtp-in")
    folder = gate.role()["facts"]["amavis"]["quarantine"]
    if not until(lambda: bool(gate.files_with(folder, sent.message_id)), bench.patience):
        raise CheckFailed(f"not in quarantine after {bench.patience:g} s")
    later = letters.clean(ANNA.mail)
    from_internet(bench, later, ANNA.mail)
    in_mailbox(bench, ANNA.login, later)
    everybody = [user.login for user in USERS]
    if not until(lambda: bool(stored(bench, everybody, later.message_id)), bench.patience):
        raise CheckFailed("a message that did arrive is not found: the search is blind")
    viruses = [message.message_id for message in (sent, outwards, inner)]
    found = stored(bench, everybody, *viruses)
    for host in (bench.receiver, bench.sender):
        found += [one.message_id for one in host.all() if one.message_id in viruses]
    if found:
        raise CheckFailed(f"it arrived: {', '.join(found)}")
    return f"in quarantine; outwards {reply}"


def quota_kept(bench: Bench) -> str:
    """Carla's mailbox has room for one of the two; the answer comes through the delivery layer's address."""
    size = CARLA.quota * 2 // 3
    body = (b"x" * 70 + b"\r\n") * (size // 72)
    replies = []
    for subject in ("first", "second"):
        sent = letters.letter(subject, CARLA.mail, body)
        reply = smtp.deliver(bench.address("delivery"), at.GATEWAY4, SENDER, CARLA.mail, sent.content)
        replies.append(reply)
        if reply.taken:
            in_mailbox(bench, CARLA.login, sent)
    # A run before this one has filled it already.
    if replies[0].refused or not replies[1].temporary:
        raise CheckFailed(f"expected 250 and 4xx, got {replies[0]} and {replies[1]}")
    with mailbox.imap(bench.tls, CARLA.login, bench.password, bench.host("imap")) as client:
        told = str(client.getquotaroot("INBOX")[1])
    if f" {CARLA.quota // 1024})" not in told:
        raise CheckFailed(f"quota: {told}")
    return str(replies[1])


def bounce_leaves(bench: Bench) -> str:
    """A list without members: taken, found to reach nobody, and told to the sender, signed by the way out."""
    sent = letters.clean(f"deserted@{names.DOMAIN}")
    from_internet(bench, sent, f"deserted@{names.DOMAIN}")

    def bounces() -> list[bytes]:
        return [content for one in bench.sender.all() if not one.sender
                and sent.message_id.encode() in (content := one.content)]

    if not until(lambda: bool(bounces()), bench.patience):
        raise CheckFailed(f"no bounce at {names.SENDER_NAME} after {bench.patience:g} s; queues:\n{queues(bench)}")
    got, *more = bounces()
    if more:
        raise CheckFailed(f"{len(more) + 1} bounces of one message")
    way = " ".join(email.message_from_bytes(got).get_all("Received", []))
    if "by smtp-out-" not in way:
        raise CheckFailed(f"by another way: {way}")
    return f"at {names.SENDER_NAME}"


def nothing_waits(bench: Bench) -> str:
    """No message and no bounce is left behind."""
    if not queues_empty(bench):
        raise CheckFailed(queues(bench))
    return "all queues are empty"
