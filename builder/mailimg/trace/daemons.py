"""Who reads whose lines."""

from __future__ import annotations

from mailimg.trace import filters, mailboxes, postfix
from mailimg.trace.events import Event, Said
from mailimg.trace.lines import Record

# SOGo writes to the standard output of what starts it, or to a file of its own.
READERS = {"amavis": filters.amavis, "opendkim": filters.opendkim, "clamav-milter": filters.clamav_milter,
           "dovecot": mailboxes.dovecot, "sogod": mailboxes.sogo, "mailimg-sogo-start": mailboxes.sogo}


def said(record: Record) -> Said | None:
    """What a record says of a message; None if nothing."""
    # `journalctl -o with-unit` has a unit in the place of the name: half of what is needed, so it is no form of ours.
    # rsyslog cuts a name at its first slash when it writes RFC 5424, unless it is told to let that be.
    if record.daemon == "postfix" or record.daemon.startswith("postfix/"):
        return postfix.parse(record.daemon, record.text)
    reader = READERS.get(record.daemon)
    return None if reader is None else reader(record.text)


def event(record: Record, place: str, order: tuple[int, int]) -> Event | None:
    """The same with its time and place.

    Args:
        place: the node, where the line does not name it.
        order: number of the file, and place of the line in it.
    """
    told = said(record)
    if told is None:
        return None
    return Event(record.node or place, record.time, record.daemon, record.pid, told, record.text, order)
