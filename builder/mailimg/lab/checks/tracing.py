"""What became of a message is told from the nodes' logs alone: `mailimg trace` over the lab."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mailimg.clients import letters
from mailimg.errors import StepError
from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.mail import ANNA, BELA, FOREIGN, by_user, from_internet, taken
from mailimg.peers import addresses as names
from mailimg.trace import Trace, trace

# What a trace says of each recipient: state, and the roles whose queues it passed.
Told = tuple[dict[str, str], list[str]]


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group, in order."""
    return (
        ("a message from the Internet is traced into the mailbox", into_mailbox),
        ("a message to a list is traced to each member", to_members),
        ("a user's message is traced to the Internet", to_internet),
        ("marked spam is traced into Junk", into_junk),
        ("a virus from the Internet is traced into quarantine", into_quarantine),
        ("a user's virus is traced to its refusal", to_refusal),
    )


def into_mailbox(bench: Bench) -> str:
    """Filter and delivery."""
    sent = letters.clean(ANNA.mail)
    from_internet(bench, sent, ANNA.mail)
    return told(bench, sent, {ANNA.mail: "delivered"}, ["smtp-in", "smtp-in", "pop-imap-lda"])


def to_members(bench: Bench) -> str:
    """Who is in two of its lists gets it once."""
    address = f"all@{names.DOMAIN}"
    sent = letters.clean(address)
    from_internet(bench, sent, address)
    members = {ANNA.mail: "delivered", BELA.mail: "delivered"}
    return told(bench, sent, members, ["smtp-in", "smtp-in", "pop-imap-lda"])


def to_internet(bench: Bench) -> str:
    """Where our logs end."""
    sent = letters.clean(FOREIGN, ANNA.mail)
    taken(by_user(bench, sent, FOREIGN))
    return told(bench, sent, {FOREIGN: "delivered"}, ["smtp-out"])


def into_junk(bench: Bench) -> str:
    """A lab marks spam and delivers it."""
    sent = letters.spam(ANNA.mail)
    from_internet(bench, sent, ANNA.mail)
    detail = told(bench, sent, {ANNA.mail: "delivered"}, ["smtp-in", "smtp-in", "pop-imap-lda"])
    found = look(bench, sent)
    words = found.verdicts[0].words if found is not None else ""
    if "filed in Junk of " not in words:
        raise CheckFailed(words)
    return detail


def into_quarantine(bench: Bench) -> str:
    """With the file that holds it."""
    sent = letters.virus(ANNA.mail)
    from_internet(bench, sent, ANNA.mail)
    return told(bench, sent, {ANNA.mail: "quarantined"}, ["smtp-in"])


def to_refusal(bench: Bench) -> str:
    """The user was told so while he sent it."""
    sent = letters.virus(FOREIGN)
    reply = by_user(bench, sent, FOREIGN)
    if not reply.refused:
        raise CheckFailed(f"expected 5xx, got {reply}")
    return told(bench, sent, {FOREIGN: "rejected"}, ["smtp-out"])


def told(bench: Bench, sent: letters.Letter, states: dict[str, str], roles: list[str]) -> str:
    """What a trace says in the end; the logs come a moment after the mail.

    Raises:
        CheckFailed: it says something else.
    """
    last: list[Trace] = []

    def right() -> bool:
        last[:] = [found] if (found := look(bench, sent)) is not None else []
        return bool(last) and said(last[0], role_of(bench)) == (states, roles)

    if not until(right, bench.patience):
        raise CheckFailed(f"{sent.message_id}: {said(last[0], role_of(bench)) if last else 'in no log'}")
    words = "; ".join(f"{one.recipient} {one.state}" for one in last[0].verdicts)
    return f"{len(last[0].hops)} hops; {words}"


def look(bench: Bench, sent: letters.Letter) -> Trace | None:
    """The trace; None while no log speaks of the message."""
    try:
        return trace(sent.message_id, [bench.state.folder / "nodes"])
    except StepError:
        return None


def role_of(bench: Bench) -> Callable[[str], str]:
    """The role of a node by its name."""
    roles = {node.name: node.role for node in bench.plan.nodes}
    return lambda name: roles.get(name, name)


def said(found: Trace, role: Callable[[str], str]) -> Told:
    """Recipients with their states, and the roles of the hops in their order."""
    states = {one.recipient: one.state for one in found.verdicts}
    return states, [role(hop.node) for hop in found.hops.values()]
