"""Lines of what keeps and shows mail: Dovecot, SOGo."""

from __future__ import annotations

import re

from mailimg.trace import events
from mailimg.trace.events import Said

# lmtp(anna)<254><SESSION>: text, of 2.3; lmtp(anna): SESSION: text or lmtp(254, anna): SESSION: text, of 2.2.
NEW = re.compile(r"(?P<service>[\w-]+)\((?P<user>[^)]*)\)<\d+><(?P<session>[^>]*)>: (?P<rest>.*)", re.DOTALL)
OLD = re.compile(r"(?P<service>[\w-]+)\((?:\d+, ?)?(?P<user>[^)]*)\): (?:(?P<session>[A-Za-z0-9+/]{20,}(?::\w+)*): )?"
                 r"(?P<rest>.*)", re.DOTALL)
SIEVE = re.compile(r"sieve: msgid=(?P<mid><[^>]*>|\S*?): (?P<rest>.*)", re.DOTALL)
MSGID = re.compile(r"\bmsgid=(?P<mid><[^>]*>)")
# lmtp(254): lmtp-server: conn ...: rcpt anna@...: <SESSION>: Sent message to ..., of 2.3; lmtp(254): SESSION: Sent ...
PASSED_ON = re.compile(
    r"lmtp\(\d+\): (?:.*: )?<?(?P<session>[A-Za-z0-9+/]{20,}(?::\w+)*)>?: Sent message to <[^>]*> at "
    r"(?P<server>\S+): 250 2\.0\.0 <[^>]*> (?P<next>\S+) Saved.*", re.DOTALL)
STORED = re.compile(r"(?:fileinto action: )?stored mail into mailbox '(?P<box>.*)'")
FORWARDED = re.compile(r"(?:redirect action: )?forwarded to <(?P<to>[^>]*)>")
# CLIENTS "POST /SOGo/so/anna/Mail/0/folderDrafts/newDraft.../send HTTP/1.1" 200 20/208 SECONDS ..., when it answers;
# in the journal behind a time (in the webmail's zone), name and process of SOGo's own.
SOGO_SEND = re.compile(
    r'(?:\w{3} [ \d]\d [\d:]{8} sogod \[\d+\]: )?[^"]*'
    r'"POST /SOGo/so/(?P<user>[^/]+)/Mail/[^"\s]*/send HTTP/[\d.]+"'
    r" (?P<code>\d{3}) \S+ (?P<seconds>[\d.]+) .*")


def dovecot(text: str) -> Said | None:
    """What Dovecot says of a message: LMTP with Sieve, and what `mail_log` would tell of later changes."""
    passed_on = PASSED_ON.fullmatch(text)
    if passed_on is not None:
        return Said(events.NOTE, words=f"passed on to the recipient's server, {passed_on['server']}",
                    session=passed_on["session"], next_session=passed_on["next"])
    match = NEW.fullmatch(text) or OLD.fullmatch(text)
    if match is None:
        return None
    user, session, rest = match["user"], match["session"] or "", match["rest"]
    if match["service"] == "indexer-worker":
        return None  # has the session of the delivery, but speaks of the index
    sieve = SIEVE.fullmatch(rest)
    if sieve is not None:
        return _sieve(user, session, sieve["mid"], sieve["rest"])
    named = MSGID.search(rest)
    if named is None and match["service"] != "lmtp":
        return None
    return Said(events.NOTE, words=f"{match['service']}({user}): {rest}", session=session, user=user,
                message_id=named["mid"] if named else "")


def _sieve(user: str, session: str, message_id: str, text: str) -> Said:
    stored, forwarded = STORED.fullmatch(text), FORWARDED.fullmatch(text)
    if stored is not None:
        return Said(events.STORED, words=f"filed in {stored['box']} of {user}", session=session, user=user,
                    message_id=message_id, place=stored["box"], status="stored")
    if forwarded is not None:
        return Said(events.STORED, words=f"{user}'s filter forwards it to <{forwarded['to']}>", session=session,
                    user=user, message_id=message_id, place=forwarded["to"], status="forwarded")
    status = "discarded" if "discard" in text else ""
    return Said(events.STORED if status else events.NOTE, words=f"{user}'s filter: {text}", session=session, user=user,
                message_id=message_id, status=status)


def sogo(text: str) -> Said | None:
    """What SOGo says of a message: it logs no message id, only that a user sent one, and how long that took."""
    match = SOGO_SEND.fullmatch(text)
    if match is None:
        return None
    words = f"the webmail of {match['user']} sends, answers {match['code']} after {match['seconds']} s"
    return Said(events.WEBMAIL, words=words, user=match["user"], delay=float(match["seconds"]))
