"""What people do with their mailboxes: filters, shared folders, search; part of `flow`."""

from __future__ import annotations

import contextlib
import imaplib
from collections.abc import Iterator

from mailimg.clients import letters, mailbox, sharing
from mailimg.clients.managesieve import ManageSieve, SieveError
from mailimg.lab import addresses as at
from mailimg.lab import balancer
from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.mail import ANNA, BELA, from_internet, in_mailbox
from mailimg.peers.platform import MASTER

# Clients that do not all come to the same mailbox server.
CLIENTS = (at.HOME4, at.SENDER4, at.RECEIVER4, at.GATEWAY4)
SCRIPT = b"""require ["fileinto", "mailbox"];\r
if header :contains "Subject" "quarterly" { fileinto :create "Reports"; }\r
"""


def own_filter(bench: Bench) -> str:
    """A broken one is refused. It goes again: the webmail's own is not used beside another."""
    with filters(bench) as sieve:
        try:
            sieve.activate("broken", b"if {\r\n")
            raise CheckFailed("a broken script was taken")
        except SieveError:
            sieve.activate("own", SCRIPT)
    # Which script is a user's own the other servers may remember for as long as they remember attributes of NFS.
    if not until(lambda: all("own ACTIVE" in bench.nodes[node.name].ask(["doveadm", "sieve", "list", "-u", BELA.login])
                             for node in bench.of("pop-imap-lda")), bench.patience):
        raise CheckFailed(f"it is not the active one on every mailbox server after {bench.patience:g} s")
    sent = letters.letter("the quarterly report", BELA.mail, b"as every quarter\r\n")
    from_internet(bench, sent, BELA.mail)
    in_mailbox(bench, BELA.login, sent, "Reports")
    with filters(bench) as sieve:
        sieve.withdraw("own")
    return "Reports"


@contextlib.contextmanager
def filters(bench: Bench) -> Iterator[ManageSieve]:
    """Bela's session with ManageSieve, at the virtual address."""
    with ManageSieve(bench.host("imap")) as sieve:
        sieve.starttls(bench.tls)
        sieve.login(BELA.login, bench.password)
        yield sieve


def folder_shared(bench: Bench) -> str:
    """Bela sees what anna shares, and nothing else of hers."""
    name, wrong = sharing.tried(bench.tls, bench.password, ANNA, BELA, bench.host("imap"))
    if wrong:
        raise CheckFailed(wrong)
    return name


def word_found(bench: Bench) -> str:
    """One word of this message alone; a word of none is found nowhere."""
    sent = letters.letter("boats", ANNA.mail, b"the steamer leaves at noon\r\n")
    word = "w" + sent.message_id[1:13]
    sent = letters.Letter(sent.message_id, sent.content + f"and {word} is its name\r\n".encode())
    from_internet(bench, sent, ANNA.mail)
    in_mailbox(bench, ANNA.login, sent)
    with mailbox.imap(bench.tls, ANNA.login, bench.password, bench.host("imap")) as client:
        client.select("INBOX", readonly=True)
        hits = client.search(None, "BODY", word.upper())[1][0].split()
        misses = client.search(None, "BODY", f"{word}x")[1][0].split()
        found = [mailbox.fetch(client, number) for number in hits]
    if len(found) != 1 or sent.message_id.encode() not in found[0] or misses:
        raise CheckFailed(f"{len(hits)} hits for a word of one message, {len(misses)} for a word of none")
    return f"{word}: one hit"


def master_opens(bench: Bench) -> str:
    """With the master's own password, and as the user sees it."""
    with mailbox.imap(bench.tls, f"{BELA.login}*{MASTER}", bench.passwords["master"], bench.host("imap")) as client:
        status, told = client.select("INBOX", readonly=True)
        if status != "OK" or not int(told[0] or b"0"):
            raise CheckFailed(f"SELECT INBOX: {status} {told!r}")
    try:
        with mailbox.imap(bench.tls, f"{BELA.login}*{ANNA.login}", bench.password, bench.host("imap")):
            raise CheckFailed("a user was let in as a master")
    except imaplib.IMAP4.error:
        return f"{int(told[0] or b'0')} messages of {BELA.login}"


def sessions_stay(bench: Bench) -> str:
    """Of one address all at one server, as the pools' persistence wants; of several addresses at more than one."""
    places = {source: {server_of(bench, source) for _ in range(3)} for source in CLIENTS}
    torn = [source for source, servers in places.items() if len(servers) != 1]
    used = set().union(*places.values())
    if torn or len(used) < 2:
        raise CheckFailed(f"server by client: {places}")
    return f"{len(CLIENTS)} clients at {', '.join(sorted(used))}"


def server_of(bench: Bench, source: str) -> str:
    """The mailbox server that a session from an address comes to, by the balancer's own count."""
    folder = bench.peer_folder("balancer")
    before = balancer.stats(folder)
    with mailbox.imap(bench.tls, ANNA.login, bench.password, bench.host("imap"), source):
        after = balancer.stats(folder)
    return next((node.name for node in bench.of("pop-imap-lda")
                 if after["imap.imaps", node.name]["stot"] != before["imap.imaps", node.name]["stot"]), "none")


CHECKS: tuple[tuple[str, Check], ...] = (
    ("a user's own filter, uploaded by ManageSieve, files mail", own_filter),
    ("a folder is shared between two users", folder_shared),
    ("search finds a word in a body", word_found),
    ("a master user opens a mailbox", master_opens),
    ("a client's sessions stay at one mailbox server", sessions_stay),
)
