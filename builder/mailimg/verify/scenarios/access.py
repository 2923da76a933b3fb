"""Access to mailboxes: who gets in, and what a mail program finds there."""

from __future__ import annotations

import imaplib
import poplib
from collections.abc import Sequence

from mailimg.clients import letters, mailbox, sharing
from mailimg.clients.managesieve import ManageSieve, SieveError
from mailimg.peers import addresses as at
from mailimg.peers.platform import MASTER, MASTER_PASSWORD
from mailimg.verify.scenarios import Bench, Check, CheckFailed
from mailimg.verify.scenarios.mailbox import ANNA, BELA, BINDS, TUNING, arrived, hand_over
from mailimg.verify.scenarios.mx import queue_empty

__all__ = ["BINDS", "TUNING", "checks"]

INDEXES = "/var/lib/dovecot/indexes"
SPECIAL = ("Drafts", "Junk", "Sent", "Trash")
SCRIPT = b"""require ["fileinto", "mailbox"];\r
if header :contains "Subject" "quarterly" { fileinto :create "Reports"; }\r
"""


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (
        ("no password is asked for without TLS", no_login_in_the_clear),
        ("a wrong or empty password is refused", wrong_login_refused),
        ("the usual folders are there and subscribed", special_folders),
        ("the full-text index finds a word", word_found),
        ("a folder is shared with a colleague", folder_shared),
        ("a user's own filter works", own_filter),
        ("a master user opens a mailbox", master_opens),
        ("nothing stays in the queue", queue_empty),
    )


def no_login_in_the_clear(bench: Bench) -> str:
    """IMAP, POP3 and ManageSieve say so, and mean it."""
    password = bench.directory.password
    client = imaplib.IMAP4(at.NODE4, 143, timeout=mailbox.SECONDS)
    if "LOGINDISABLED" not in client.capabilities or any(one.startswith("AUTH=") for one in client.capabilities):
        raise CheckFailed(f"IMAP offers a login without TLS: {' '.join(client.capabilities)}")
    try:
        client.login(ANNA.login, password)
        raise CheckFailed("IMAP took a login without TLS")
    except imaplib.IMAP4.error as error:
        words = str(error)
    finally:
        client.shutdown()
    pop = poplib.POP3(at.NODE4, 110, timeout=mailbox.SECONDS)
    try:
        pop.user(ANNA.login)
        pop.pass_(password)
        raise CheckFailed("POP3 took a login without TLS")
    except poplib.error_proto:
        pop.close()
    with ManageSieve(at.NODE4) as sieve:
        if sieve.capabilities.get("SASL"):
            raise CheckFailed(f"ManageSieve offers a login without TLS: {sieve.capabilities['SASL']}")
    client = imaplib.IMAP4(at.NODE4, 143, timeout=mailbox.SECONDS)
    client.starttls(bench.platform.client_tls())
    client.login(ANNA.login, password)
    client.logout()
    return f"{words}; after STARTTLS it is taken"


def wrong_login_refused(bench: Bench) -> str:
    """An empty password would be taken by the directory as a login of nobody."""
    good = bench.directory.password
    wrong = ((ANNA.login, "wrong"), (ANNA.login, ""), ("nobody", good), ("*", good), (ANNA.mail, good), ("team", good))
    for login, password in wrong:
        try:
            with mailbox.imap(bench.platform.client_tls(), login, password):
                raise CheckFailed(f"{login!r} with {'a wrong' if password != good else 'the'} password was let in")
        except imaplib.IMAP4.error as error:
            if "UNAVAILABLE" in str(error):
                raise CheckFailed(f"{login!r}: {error}") from error
    return f"{len(wrong)} logins"


def special_folders(bench: Bench) -> str:
    """With their special use, so that every mail program finds them."""
    with mailbox.imap(bench.platform.client_tls(), ANNA.login, bench.directory.password) as client:
        there, subscribed = mailbox.folders(client), mailbox.folders(client, subscribed=True)
    for name in SPECIAL:
        if f"\\{name}" not in there.get(name, "") or name not in subscribed:
            raise CheckFailed(f"{name}: there {there}, subscribed {sorted(subscribed)}")
    return ", ".join(SPECIAL)


def word_found(bench: Bench) -> str:
    """In the body; the index is there and was asked. It lies on the server's own disk, as every index does."""
    word = "Donaudampfschiff"
    sent = letters.letter("boats", ANNA.mail, f"the {word} leaves at noon\r\n".encode())
    hand_over(sent, ANNA.mail)
    arrived(bench, ANNA.login, sent)
    with mailbox.imap(bench.platform.client_tls(), ANNA.login, bench.directory.password) as client:
        client.select("INBOX", readonly=True)
        hits = client.search(None, "BODY", word.lower())[1][0].split()
        misses = client.search(None, "BODY", "Schaufelraddampfer")[1][0].split()
        found = [mailbox.fetch(client, number) for number in hits]
    if len(found) != 1 or sent.message_id.encode() not in found[0] or misses:
        raise CheckFailed(f"{len(hits)} hits for a word of one message, {len(misses)} for a word of none")
    index = bench.node.ask(["find", INDEXES, "-path", f"*/{ANNA.login}/*", "-type", "d", "(", "-name",
                            "lucene-indexes", "-o", "-name", "xapian-indexes", ")"]).split()
    shared = bench.node.ask(["find", "/MAILBOXES", "-path", "*/Maildir/*", "(", "-name", "*-indexes", "-o", "-name",
                             "dovecot.*index*", ")"]).split()
    if not index or shared:
        raise CheckFailed(f"it was found; indexes on this server {index}, and on the storage {shared}")
    return index[0]


def folder_shared(bench: Bench) -> str:
    """Bela sees what anna shares, and nothing else of hers."""
    name, wrong = sharing.tried(bench.platform.client_tls(), bench.directory.password, ANNA, BELA)
    if wrong:
        raise CheckFailed(wrong)
    return name


def own_filter(bench: Bench) -> str:
    """Put there by ManageSieve, run at delivery; a broken one is refused."""
    with ManageSieve(at.NODE4) as sieve:
        sieve.starttls(bench.platform.client_tls())
        sieve.login(BELA.login, bench.directory.password)
        try:
            sieve.activate("broken", b"if {\r\n")
            raise CheckFailed("a broken script was taken")
        except SieveError:
            sieve.activate("own", SCRIPT)
    sent = letters.letter("the quarterly report", BELA.mail, b"as every quarter\r\n")
    hand_over(sent, BELA.mail)
    arrived(bench, BELA.login, sent, "Reports")
    return "Reports"


def master_opens(bench: Bench) -> str:
    """With his own password, and as the user sees it."""
    tls = bench.platform.client_tls()
    sent = letters.letter("for bela", BELA.mail, b"and for those who help her\r\n")
    hand_over(sent, BELA.mail)
    arrived(bench, BELA.login, sent)
    with mailbox.imap(tls, f"{BELA.login}*{MASTER}", MASTER_PASSWORD) as client:
        status, told = client.select("INBOX", readonly=True)
        if status != "OK" or not int(told[0] or b"0"):
            raise CheckFailed(f"SELECT INBOX: {status} {told!r}")
    for login, password in ((MASTER, MASTER_PASSWORD), (f"{BELA.login}*{MASTER}", "wrong"),
                            (f"{BELA.login}*{ANNA.login}", bench.directory.password)):
        try:
            with mailbox.imap(tls, login, password):
                raise CheckFailed(f"{login} was let in")
        except imaplib.IMAP4.error:
            continue
    return f"{int(told[0] or b'0')} messages"
