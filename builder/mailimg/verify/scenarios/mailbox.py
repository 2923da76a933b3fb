"""Mailboxes: what the other layers hand over is filed, what is filed is read, nothing is lost. See also `access`."""

from __future__ import annotations

import imaplib
from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.clients import letters, mailbox, smtp
from mailimg.peers import addresses as at
from mailimg.peers.directory import USERS
from mailimg.verify import metrics
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until
from mailimg.verify.scenarios.mx import (
    DISGUISED,
    FOREIGN,
    SENDER,
    UNKNOWN,
    expect_refused,
    expect_taken,
    first_difference,
    queue,
    queue_empty,
)

TUNING: Mapping[str, Any] = {"sessions": 50}
BINDS: Mapping[str, int] = {"/MAILBOXES": 5000}

ANNA, BELA, CARLA = USERS
FOLDERS = 4096
LIMIT = 27_262_976  # bytes that smtp-in may hand over


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (
        ("a message is read by IMAP as it was sent", read_by_imap),
        ("a message is read by POP3", read_by_pop3),
        ("mailboxes lie in hashed folders of vmail's", hashed),
        ("a list in a list reaches each member once", nested_list),
        ("mail marked as spam goes to Junk", spam_filed),
        ("a full mailbox delays mail", full_delays),
        ("a mailbox is counted anew before it is called full", counted_anew),
        ("a bounce leaves through smtp-out", bounce_leaves),
        ("only the platform's servers hand over mail, for mailboxes only", closed),
        ("the largest message of smtp-in is taken", largest_taken),
        ("lost storage only delays, and the agent names it", lost_storage_delays),
        ("a directory outage only delays", outage_delays),
        ("the metrics count sessions", sessions_counted),
        ("nothing stays in the queue", queue_empty),
    )


def ask(recipient: str, sender: str = SENDER, source: str = at.HOST4, address: str = at.NODE4) -> smtp.Reply:
    """Whether the node would take this from a server of the platform."""
    return smtp.ask(address, source, sender, recipient)


def hand_over(sent: letters.Letter, recipient: str, sender: str = SENDER) -> str:
    """Deliver as smtp-in does."""
    return expect_taken(smtp.deliver(at.NODE4, at.HOST4, sender, recipient, sent.content))


def arrived(bench: Bench, login: str, sent: letters.Letter, folder: str = "INBOX") -> list[bytes]:
    """The message in a user's folder; with its copies, should there be some."""
    with mailbox.imap(bench.platform.client_tls(), login, bench.directory.password) as client:
        found = mailbox.find(client, folder, sent.message_id, bench.patience)
    if not found:
        raise CheckFailed(f"not in {login}'s {folder} after {bench.patience:g} s; queue:\n{queue(bench)}")
    return found


def read_by_imap(bench: Bench) -> str:
    """The address is not the login; the body has everything that relays like to change."""
    sent = letters.clean(BELA.mail)
    hand_over(sent, BELA.mail)
    got, *more = arrived(bench, BELA.login, sent)
    if more:
        raise CheckFailed(f"{len(more) + 1} copies")
    body = got.partition(b"\r\n\r\n")[2]
    if body != sent.body:
        raise CheckFailed(f"the body changed: {first_difference(sent.body, body)}")
    return f"{BELA.mail} in the mailbox of {BELA.login}, {len(got)} bytes"


def read_by_pop3(bench: Bench) -> str:
    """The same mailbox."""
    # The case of a login does not matter, here as in the directory.
    with mailbox.pop3(bench.platform.client_tls(), BELA.login.upper(), bench.directory.password) as client:
        count, size = client.stat()
        if not count:
            raise CheckFailed("the mailbox is empty")
        lines = client.retr(count)[1]
    if not any(line.startswith(b"Message-ID:") for line in lines):
        raise CheckFailed("what RETR gives is no message")
    return f"{count} messages, {size} bytes"


def hashed(bench: Bench) -> str:
    """On the mounted storage, not below it, two levels deep, with the platform's numbers."""
    told = bench.node.ask(["find", "/MAILBOXES", "-maxdepth", "2", "-name", BELA.login, "-printf", "%p %U:%G %m\n"])
    path, owner, _mode = told.split()
    parts = path.split("/")
    if len(parts) != 4 or owner != "5000:5000":
        raise CheckFailed(told)
    # The agent made all of them: Dovecot's must be one of these, and not one more.
    folders = bench.node.ask(["find", "/MAILBOXES", "-maxdepth", "1", "-name", "[0-9a-f]*"]).split()
    if len(folders) != FOLDERS or "/".join(parts[:3]) not in folders:
        raise CheckFailed(f"{len(folders)} folders, and {path}")
    return told.strip()


def nested_list(bench: Bench) -> str:
    """`all` holds `team` and anna, who is in `team` as well."""
    sent = letters.clean(f"all@{at.DOMAIN}")
    hand_over(sent, f"all@{at.DOMAIN}")
    for user in (ANNA, BELA):
        copies = len(arrived(bench, user.login, sent))
        if copies != 1:
            raise CheckFailed(f"{user.login} got {copies} copies")
    return "anna and bela"


def spam_filed(bench: Bench) -> str:
    """By the header that smtp-in's filter sets; and only by it."""
    marked = letters.letter("offer", ANNA.mail, b"buy\r\n", "X-Spam-Flag: YES")
    plain = letters.letter("no offer", ANNA.mail, b"sell\r\n", "X-Spam-Flag: NO")
    for sent, folder in ((marked, "Junk"), (plain, "INBOX")):
        hand_over(sent, ANNA.mail)
        arrived(bench, ANNA.login, sent, folder)
    with mailbox.imap(bench.platform.client_tls(), ANNA.login, bench.directory.password) as client:
        if mailbox.find(client, "INBOX", marked.message_id):
            raise CheckFailed("it is in INBOX as well")
    log = bench.node.ask(["journalctl", "-b", "--no-pager", "--unit=dovecot", "--grep=before.sieve"], check=False)
    if "rror" in log:
        raise CheckFailed(f"the filter is not compiled: {log}")
    return "Junk, and INBOX without the mark"


def full_delays(bench: Bench) -> str:
    """Carla's mailbox has room for one of the two."""
    size = CARLA.quota * 2 // 3
    body = (b"x" * 70 + b"\r\n") * (size // 72)
    first, second = (letters.letter(subject, CARLA.mail, body) for subject in ("first", "second"))
    hand_over(first, CARLA.mail)
    arrived(bench, CARLA.login, first)
    reply = smtp.deliver(at.NODE4, at.HOST4, SENDER, CARLA.mail, second.content)
    if not reply.temporary:
        raise CheckFailed(f"expected 4xx, got {reply}")
    # The quota is what the directory says, in bytes.
    with mailbox.imap(bench.platform.client_tls(), CARLA.login, bench.directory.password) as client:
        told = str(client.getquotaroot("INBOX")[1])
    # One limit only: SOGo cannot read an answer with two.
    if f" {CARLA.quota // 1024})" not in told:
        raise CheckFailed(f"quota: {told}")
    return str(reply)


def counted_anew(bench: Bench) -> str:
    """What the mailbox's file says of its size may be wrong, and by far."""
    lines = "for file in /MAILBOXES/*/{}/Maildir/maildirsize; do echo '{} 1' >> $file; cat $file; done"
    told = bench.node.ask(["sh", "-c", lines.format(BELA.login, 2 * BELA.quota)])
    if f"{BELA.quota}S" not in told:
        raise CheckFailed(f"maildirsize: {told}")
    sent = letters.clean(BELA.mail)
    hand_over(sent, BELA.mail)
    arrived(bench, BELA.login, sent)
    return f"with {2 * BELA.quota} bytes too many"


def bounce_leaves(bench: Bench) -> str:
    """A list without members: taken, found to reach nobody, and told to the sender, by way of the smtp-out layer."""
    sent = letters.clean(f"deserted@{at.DOMAIN}")
    hand_over(sent, f"deserted@{at.DOMAIN}")
    smtp_out = bench.platform.smtp_out

    def bounced() -> bool:
        return any(not one.sender and sent.message_id.encode() in one.content for one in smtp_out.kept)

    if not until(bounced, bench.patience):
        raise CheckFailed(f"no bounce at {at.SMTP_OUT_NAME} after {bench.patience:g} s; queue:\n{queue(bench)}")
    return f"at {at.SMTP_OUT_NAME}, after a login"


def closed(bench: Bench) -> str:
    """Mail from outside has passed no filter; foreign destinations are smtp-out's."""
    for source, node in ((at.SENDER4, at.NODE4), (at.SENDER6, at.NODE6)):
        expect_refused(ask(ANNA.mail, SENDER, source, node))
    expect_refused(ask(UNKNOWN), 550)
    for recipient in (FOREIGN, *DISGUISED):
        for sender in (SENDER, ""):
            expect_refused(ask(recipient, sender))
    return f"strangers, {UNKNOWN}, and {len(DISGUISED) + 1} forms of a foreign destination"


def largest_taken(bench: Bench) -> str:
    """By what the client announces."""
    with smtp.session(at.NODE4, at.HOST4) as client:
        for size, wanted in ((LIMIT, 250), (LIMIT + 1, 552)):
            code, text = client.mail(SENDER, [f"SIZE={size}"])
            client.rset()
            if code != wanted:
                raise CheckFailed(f"SIZE={size}: expected {wanted}, got {code} {text!r}")
    return f"{LIMIT} bytes"


def lost_storage_delays(bench: Bench) -> str:
    """Nothing is written onto the local disk, and what was taken is filed when the storage is back."""
    node, sent = bench.node, letters.clean(ANNA.mail)
    node.ask(["mount", "--bind", "/MAILBOXES", "/mnt"])
    try:
        node.ask(["umount", "--lazy", "/MAILBOXES"])
        reply = smtp.deliver(at.NODE4, at.HOST4, SENDER, ANNA.mail, sent.content)
        # Taken or not yet taken is right, both; a final no is not.
        if reply.taken and not until(lambda: "(" in queue(bench), 60):
            raise CheckFailed(f"taken, and not deferred: {queue(bench)}")
        told = node.ask(["mailimg-firstboot", "check"], check=False)
        written = node.ask(["find", "/MAILBOXES", "-mindepth", "1"])
    finally:
        node.ask(["mount", "--bind", "/mnt", "/MAILBOXES"])
        node.ask(["umount", "/mnt"])
    if reply.refused:
        raise CheckFailed(f"without storage: {reply}")
    if written or "site key `storage`" not in told:
        raise CheckFailed(f"on the local disk: {written or 'nothing'}; the agent says: {told}")
    if reply.taken:
        node.ask(["postqueue", "-f"])
        arrived(bench, ANNA.login, sent)
    return f"{reply}; nothing on the local disk"


def outage_delays(bench: Bench) -> str:
    """Nobody is told that an address does not exist, or that a password is wrong."""
    bench.directory.stop()
    try:
        replies = [ask(recipient) for recipient in (ANNA.mail, UNKNOWN)]
        words = ""
        try:
            with mailbox.imap(bench.platform.client_tls(), CARLA.login, bench.directory.password):
                raise CheckFailed("a login worked without the directory")
        except imaplib.IMAP4.error as error:
            words = str(error)
    finally:
        bench.directory.start()
    for reply in replies:
        if not reply.temporary:
            raise CheckFailed(f"directory stopped: expected 4xx, got {reply}")
    if "UNAVAILABLE" not in words:
        raise CheckFailed(f"directory stopped: IMAP says {words}")
    if not until(lambda: ask(ANNA.mail).taken, 60):
        raise CheckFailed(f"directory back for a minute, and still {ask(ANNA.mail)}")
    sent = letters.clean(ANNA.mail)
    hand_over(sent, ANNA.mail)
    arrived(bench, ANNA.login, sent)
    return f"{replies[0]}; IMAP: {words}"


def sessions_counted(bench: Bench) -> str:
    """One of a user by IMAP, who is not named."""
    with mailbox.imap(bench.platform.client_tls(), ANNA.login, bench.directory.password):
        figures = metrics.collect(bench.node)
        found = {"imap": figures.value("dovecot_sessions", service="imap"), "users": figures.value("dovecot_users"),
                 "port": figures.value("client_connections", port="993")}
        if any(value != 1 for value in found.values()) or metrics.named(bench, figures):
            raise CheckFailed(f"one session of {ANNA.login}: {found}; it names {metrics.named(bench, figures)}")

    def none() -> bool:
        return metrics.collect(bench.node).value("dovecot_sessions", service="imap") == 0

    if not until(none, 30):
        raise CheckFailed("it has ended for half a minute, and still counts")
    return "1, and 0 again"
