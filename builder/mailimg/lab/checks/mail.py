"""How checks send and find mail, as people and the Internet do: through the virtual addresses."""

from __future__ import annotations

from collections.abc import Sequence

from mailimg.clients import letters, mailbox, smtp
from mailimg.clients.submission import Account, submit
from mailimg.lab import addresses as at
from mailimg.lab.checks import Bench, CheckFailed, until
from mailimg.lab.internet import Arrival, Arrivals
from mailimg.peers import addresses as names
from mailimg.peers.directory import USERS
from mailimg.verify.scenarios.mx import first_difference

__all__ = ["first_difference"]

ANNA, BELA, CARLA = USERS
VMAIL = ("setpriv", "--reuid=5000", "--regid=5000", "--clear-groups")
SENDER = f"sender@{names.SENDER_DOMAIN}"
FOREIGN = f"someone@{names.FOREIGN_DOMAIN}"


def taken(reply: smtp.Reply) -> str:
    """The detail of a yes."""
    if not reply.taken:
        raise CheckFailed(f"expected 250, got {reply}")
    return str(reply)


def from_internet(bench: Bench, sent: letters.Letter, recipient: str, sender: str = SENDER) -> str:
    """Hand a message to the MX, as the mail host of the Internet does."""
    return taken(smtp.deliver(bench.address("smtp-in"), at.SENDER4, sender, recipient, sent.content))


def by_user(bench: Bench, sent: letters.Letter, recipient: str, *, login: str = ANNA.login, sender: str = ANNA.mail,
            port: int = 587) -> smtp.Reply:
    """Hand a message to the way out, as a user at home does."""
    return submit(port, bench.tls, Account(login, bench.password), sender, recipient, sent.content, source=at.HOME4,
                  server=bench.host("smtp-out"))


def in_mailbox(bench: Bench, login: str, sent: letters.Letter, folder: str = "INBOX") -> list[bytes]:
    """The message in a user's folder, by IMAP at the virtual address, with its copies, should there be some."""
    with mailbox.imap(bench.tls, login, bench.password, bench.host("imap"), at.HOME4) as client:
        found = mailbox.find(client, folder, sent.message_id, bench.patience)
    if not found:
        raise CheckFailed(f"not in {login}'s {folder} after {bench.patience:g} s; queues:\n{queues(bench)}")
    return found


def once_in_mailbox(bench: Bench, login: str, sent: letters.Letter, folder: str = "INBOX") -> bytes:
    """The message in a user's folder, where it must be once."""
    found = in_mailbox(bench, login, sent, folder)
    if len(found) > 1:
        raise CheckFailed(f"{len(found)} copies in {login}'s {folder}")
    return found[0]


def on_internet(bench: Bench, host: Arrivals, sent: letters.Letter) -> Arrival:
    """The message at a mail host of the Internet, once."""
    got = host.wait(sent.message_id, bench.patience)
    if got is None:
        raise CheckFailed(f"it did not arrive within {bench.patience:g} s; queues:\n{queues(bench)}")
    if len(host.find(sent.message_id)) > 1:
        raise CheckFailed("it arrived more than once")
    return got


def homes(bench: Bench, logins: Sequence[str]) -> list[str]:
    """Where these users' mailboxes are."""
    node = bench.first("pop-imap-lda")
    return [node.ask(["doveadm", "user", "-f", "home", login]).strip() for login in logins]


def stored(bench: Bench, logins: Sequence[str], *message_ids: str) -> list[str]:
    """Files in these users' mailboxes that hold one of these ids, wherever they lie in them.

    As vmail: to root of another machine the storage server shows nothing.
    """
    looks = [word for one in message_ids for word in ("-e", one)]
    told = bench.first("pop-imap-lda").ask([*VMAIL, "grep", "-rlF", *looks, *homes(bench, logins)], check=False)
    return told.split()


def queues(bench: Bench) -> str:
    """What waits on the nodes that have a mail queue."""
    told = []
    for role in ("smtp-in", "smtp-out", "pop-imap-lda"):
        for node in bench.of(role):
            told.append(f"{node.name}: {bench.nodes[node.name].ask(['postqueue', '-p']).strip()}")
    return "\n".join(told)


def queues_empty(bench: Bench, seconds: float = 30) -> bool:
    """Whether nothing waits, after at most so long."""
    return until(lambda: all("is empty" in line for line in queues(bench).splitlines()), seconds)


