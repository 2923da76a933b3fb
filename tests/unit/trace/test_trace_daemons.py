"""What lines of daemons say of a message. Those of recorded logs are in test_trace_recorded; here are the others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailimg.trace import daemons, events
from mailimg.trace.events import Said
from mailimg.trace.lines import Record

QID, NEXT = "4jXg7l64KVz4J", "4jXg7m0yGlz4j"
# Short ids, as where enable_long_queue_ids is off.
SHORT = "5F2D8A517F"


def told(daemon: str, text: str) -> Said | None:
    return daemons.said(Record("mx-1", datetime(2026, 11, 22, tzinfo=UTC), daemon, "7", text))


def facts(daemon: str, text: str, *names: str) -> tuple[object, ...]:
    said = told(daemon, text)
    assert said is not None
    return tuple(getattr(said, name) for name in names)


@pytest.mark.parametrize("queue_id", [QID, SHORT, "4jXzzzzz4KVz4J"])
def test_both_kinds_of_queue_ids(queue_id: str) -> None:
    assert facts("postfix/qmgr", f"{queue_id}: removed", "kind", "queue_id") == (events.REMOVED, queue_id)


@pytest.mark.parametrize("text", [
    "connect from localhost[127.0.0.1]", "warning: x", "disconnect from a[1.2.3.4]", f"{QID}", "nobody: removed",
    f"{QID}: replace: header Received: from pc-17.home; from=<a@b.example>: Received: by x",
])
def test_lines_that_tell_nothing_of_its_way(text: str) -> None:
    assert told("postfix/smtpd", text) is None


def test_a_unit_in_the_place_of_a_name_is_no_form_of_ours() -> None:
    assert told("postfix@-.service", f"{QID}: removed") is None
    assert told("sshd", f"{QID}: removed") is None


def test_a_delivery_of_postfix_2_10() -> None:
    """The same fields, in the words of an older remote; its `orig_to` and its words have commas and brackets."""
    text = (f"{QID}: to=<a@example.org>, orig_to=<list@example.org>, relay=mx.far.example[203.0.113.9]:25, delay=1.4, "
            "delays=0.1/0.01/0.3/1, dsn=5.1.1, status=bounced (host mx.far.example[203.0.113.9] said: 550 5.1.1 "
            "<a@example.org>: no, (really) no (in reply to RCPT TO command))")
    assert facts("postfix/smtp", text, "recipient", "original", "relay", "delay", "dsn", "status") == (
        "a@example.org", "list@example.org", "mx.far.example[203.0.113.9]:25", 1.4, "5.1.1", "bounced")
    assert str(facts("postfix/smtp", text, "words")[0]).endswith("no, (really) no (in reply to RCPT TO command)")


def test_what_soft_bounce_keeps_is_deferred() -> None:
    """A node that leaves bounces nothing."""
    text = f"{QID}: to=<a@example.org>, relay=none, delay=1, delays=1/0/0/0, dsn=5.4.4, status=SOFTBOUNCE (no host)"
    assert facts("postfix/smtp", text, "status", "dsn") == ("deferred", "5.4.4")


def test_a_null_recipient_and_a_null_message_id() -> None:
    assert facts("postfix/cleanup", f"{QID}: message-id=<>", "kind", "message_id") == (events.IDENTITY, "")
    text = f"{QID}: to=<>, relay=none, delay=0, delays=0/0/0/0, dsn=5.1.3, status=bounced (bad address)"
    assert facts("postfix/error", text, "kind", "recipient") == (events.DELIVERY, "")


@pytest.mark.parametrize(("text", "kind", "status", "words"), [
    (f"{QID}: reject: header Subject: buy from a.example[1.2.3.4]; from=<a@b.example> to=<c@example.org> proto=ESMTP "
     "helo=<x>: 5.7.1 not here", events.REJECT, "5xx", "reject: Subject: buy from a.example[1.2.3.4]: 5.7.1 not here"),
    (f"{QID}: discard: body x from a.example[1.2.3.4]; from=<a@b.example> to=<c@example.org> proto=ESMTP helo=<x>: no",
     events.DISCARDED, "", "discard: x from a.example[1.2.3.4]: no"),
    (f"{QID}: hold: header X: y from local; from=<a@b.example> to=<c@example.org>: look", events.HELD, "",
     "hold: X: y from local: look"),
    (f"{QID}: milter-reject: END-OF-MESSAGE from a.example[1.2.3.4]: 4.7.1 Service unavailable - try again later; "
     "from=<a@b.example> to=<c@example.org> proto=ESMTP helo=<x>", events.REJECT, "4xx",
     "milter-reject at END-OF-MESSAGE: Service unavailable - try again later"),
    ("NOQUEUE: reject: RCPT from a.example[1.2.3.4]: 451 4.3.0 <c@example.org>: Temporary lookup failure; "
     "from=<a@b.example> to=<c@example.org> proto=ESMTP helo=<x>", events.REJECT, "451",
     "reject at RCPT: <c@example.org>: Temporary lookup failure"),
])
def test_refusals(text: str, kind: str, status: str, words: str) -> None:
    assert facts("postfix/cleanup", text, "kind", "status", "words", "recipient") == (
        kind, status, words, "c@example.org")


@pytest.mark.parametrize(("rest", "kind"), [
    ("removed", events.DELETED), ("placed on hold", events.HELD), ("released from hold", events.RELEASED),
    ("requeued", events.NOTE),
])
def test_what_an_administrator_did(rest: str, kind: str) -> None:
    assert facts("postfix/postsuper", f"{QID}: {rest}", "kind", "queue_id") == (kind, QID)


def test_amavis_with_two_messages_for_two_kinds_of_recipients() -> None:
    """It splits a message whose recipients get different headers; the first way back is followed by the log, all by the
    lines that hand them back."""
    text = ("(00183-02) Passed SPAMMY {RelayedTaggedInbound}, [1.2.3.4]:5 [1.2.3.4] <a@b.example> -> <c@example.org>,"
            f"<d@example.org>, Queue-ID: {QID}, Message-ID: <m@b.example>, mail_id: x, Hits: 9.1, size: 7, "
            f"queued_as: {NEXT}/4jXg7m0yGlz4k, 205 ms")
    assert facts("amavis", text, "kind", "queue_id", "next_id", "message_id", "status", "session", "delay") == (
        events.FILTER, QID, NEXT, "<m@b.example>", "PASSED", "00183-02", 0.205)


def test_amavis_of_2_11() -> None:
    """`amavis[pid]: (task) Blocked ...` is the same on CentOS 7; another form of handing back was `FWD via SMTP`."""
    text = (f"(00183-02) FWD via SMTP: <a@b.example> -> <c@example.org>,BODY=7BIT 250 2.0.0 from "
            f"MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {NEXT}")
    assert facts("amavis", text, "kind", "next_id", "session") == (events.NOTE, NEXT, "00183-02")


def test_dovecot_of_2_2() -> None:
    """CentOS 7's: the session stands behind the prefix, and the prefix may begin with the process."""
    for prefix in ("lmtp(anna): SBSDDERLA2v+AAAA9VE3aQ: ", "lmtp(254, anna): SBSDDERLA2v+AAAA9VE3aQ: "):
        assert facts("dovecot", f"{prefix}sieve: msgid=<m@b.example>: stored mail into mailbox 'INBOX'",
                     "kind", "session", "user", "message_id", "place", "status") == (
            events.STORED, "SBSDDERLA2v+AAAA9VE3aQ", "anna", "<m@b.example>", "INBOX", "stored")


@pytest.mark.parametrize("head", ["lmtp-server: conn 127.0.0.1:6 [16]: rcpt anna@b.example: <{}>:", "{}:"])
def test_dovecot_passes_it_on(head: str) -> None:
    session = "SBSDDERLA2v+AAAA9VE3aQ"
    line = (f"lmtp(254): {head.format(session)} Sent message to <anna@b.example> at 10.0.0.8:10124: 250 2.0.0 "
            "<anna@b.example> KNLeJk/GA2smBAAAcf92+g Saved (1/1 at 7 ms)")
    assert facts("dovecot", line, "kind", "session", "next_session") == (
        events.NOTE, session, "KNLeJk/GA2smBAAAcf92+g")


@pytest.mark.parametrize(("text", "status", "place"), [
    ("forwarded to <x@far.example>", "forwarded", "x@far.example"),
    ("redirect action: forwarded to <x@far.example>", "forwarded", "x@far.example"),
    ("fileinto action: stored mail into mailbox 'Junk'", "stored", "Junk"),
    ("marked message to be discarded if not explicitly delivered (discard action)", "discarded", ""),
])
def test_what_a_filter_of_a_user_does(text: str, status: str, place: str) -> None:
    line = f"lmtp(anna)<254><s+1:R2>: sieve: msgid=<m@b.example>: {text}"
    assert facts("dovecot", line, "status", "place", "session") == (status, place, "s+1:R2")


def test_what_happens_to_it_later() -> None:
    """With the plugin mail_log; an image does not switch it on."""
    text = "imap(anna)<9><SESSION>: expunge: box=INBOX, uid=5, msgid=<m@b.example>, size=7"
    assert facts("dovecot", text, "kind", "message_id", "words") == (
        events.NOTE, "<m@b.example>", "imap(anna): expunge: box=INBOX, uid=5, msgid=<m@b.example>, size=7")


def test_milters() -> None:
    assert facts("opendkim", f"{QID}: DKIM-Signature field added (s=s1, d=example.org)", "queue_id") == (QID,)
    infected = (f"Message {QID} from <a@b.example> to <c@example.org> with subject 'it's' message-id '<m@b.example>' "
                "date 'Sun' infected by Eicar")
    assert facts("clamav-milter", infected, "queue_id", "message_id", "words") == (
        QID, "<m@b.example>", "infected by Eicar")
    assert told("clamav-milter", "Message from <a@b.example> to <c@example.org> infected by Eicar") is None


@pytest.mark.parametrize("before", ["", "Nov 22 21:40:44 sogod [447]: "])
def test_webmail(before: str) -> None:
    """In a file of its own, and in the journal of what starts it."""
    text = (f'{before}10.91.0.100, 127.0.0.1 "POST /SOGo/so/anna/Mail/0/folderDrafts/newDraft1795-1/send HTTP/1.1" 200 '
            "20/203 0.876 - - 0 - 16")
    for daemon in ("sogod", "mailimg-sogo-start"):
        assert facts(daemon, text, "kind", "user", "delay", "words") == (
            events.WEBMAIL, "anna", 0.876, "the webmail of anna sends, answers 200 after 0.876 s")
    assert told("sogod", '10.0.0.9 "GET /SOGo/so/anna/Mail/view HTTP/1.1" 200 29/1043 0.120 - - 0') is None
