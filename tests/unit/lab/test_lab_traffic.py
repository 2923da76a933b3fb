"""The steady flow of the fault checks: what an answer counts as, and whether a message is where it must be."""

from __future__ import annotations

import dataclasses
import imaplib

import pytest

from mailimg.clients.smtp import Reply
from mailimg.lab.checks import promises, traffic
from mailimg.lab.checks.promises import Promise, Times
from mailimg.lab.checks.traffic import Attempt

TIMES = Times(stopping=9.0, away=10.0, returning=20.0, back=21.0)


def attempt(way: str, code: str, begun: float = 12.0, ended: float = 12.5, key: str = "") -> Attempt:
    return Attempt(way, begun, ended, code, "its text", key)


def test_a_message_has_its_number_as_its_only_id() -> None:
    key, sent = traffic.numbered("ab12", "inbound", 7, "anna@example.org", "sender@sender.example")
    assert key == "fault-ab12-inbound-7"
    assert sent.message_id == "<fault-ab12-inbound-7@sender.example>"
    assert sent.content.count(b"Message-ID:") == sent.content.count(sent.message_id.encode()) == 1
    found = traffic.ID.search(f"/MAILBOXES/a/1,S=2:Message-ID: {sent.message_id}")
    assert found is not None
    assert found[1] == key


@pytest.mark.parametrize(("code", "text"), [(451, "451"), (250, "250"), (0, "none"), (-1, "none")])
def test_code_of_smtp(code: int, text: str) -> None:
    assert traffic.code_of(Reply("RCPT", code, "words")) == text


@pytest.mark.parametrize(("error", "word"), [
    (imaplib.IMAP4.error(b"[UNAVAILABLE] Temporary authentication failure."), "UNAVAILABLE"),
    (imaplib.IMAP4.error("[AUTHENTICATIONFAILED] Authentication failed."), "AUTHENTICATIONFAILED"),
    (imaplib.IMAP4.error("LOGIN command error"), "NO"),
    (imaplib.IMAP4.abort("socket error: EOF"), "BYE"),
    (ConnectionResetError("reset"), "none"),
])
def test_word_of_imap(error: Exception, word: str) -> None:
    assert traffic.word_of(error) == word


@pytest.mark.parametrize(("way", "code", "hard"), [
    ("inbound", "550", True), ("inbound", "451", False), ("submission", "535", True), ("delivery", "none", False),
    ("imap", "AUTHENTICATIONFAILED", True), ("imap", "NO", True), ("imap", "UNAVAILABLE", False),
    ("webmail", "403", True), ("webmail", "503", False),
])
def test_refused_for_good(way: str, code: str, hard: bool) -> None:
    assert attempt(way, code).hard is hard


@pytest.mark.parametrize(("code", "there", "wrong"), [
    ("250", 1, False), ("250", 0, True), ("250", 2, True),
    ("451", 0, False), ("451", 1, True), ("550", 0, False),
    ("none", 0, False), ("none", 1, False), ("none", 2, True),
])
def test_every_message_is_where_it_must_be(code: str, there: int, wrong: bool) -> None:
    one = attempt("inbound", code, key="fault-x-inbound-1")
    assert bool(traffic.misdelivered([one], {one.key: there} if there else {})) is wrong


@pytest.mark.parametrize(("begun", "there", "wrong"), [(1.0, 2, False), (1.0, 3, True), (5.0, 2, True)])
def test_only_what_was_under_way_may_be_there_twice(begun: float, there: int, wrong: bool) -> None:
    one = dataclasses.replace(attempt("inbound", "250", key="fault-x-inbound-1"), begun=begun)
    assert bool(traffic.misdelivered([one], {one.key: there}, 4.0)) is wrong


PROMISE = Promise("gone", {"inbound": ("451",), "webmail": ("403",)}, late_logins=True)


@pytest.mark.parametrize("one", [
    attempt("inbound", "451"),
    attempt("delivery", "250"),
    attempt("webmail", "403"),
    attempt("inbound", "250", 9.5, 11.0),  # while it went
    attempt("delivery", "421", 19.0, 20.5),  # while it came
    attempt("submission", "535", 9.9, 10.2),  # was greeted before
], ids=lambda one: f"{one.way} {one.code}")
def test_a_promise_that_is_kept(one: Attempt) -> None:
    assert promises.broken(PROMISE, [one], TIMES) == []


@pytest.mark.parametrize("one", [
    attempt("inbound", "250"),
    attempt("inbound", "450"),
    attempt("delivery", "451"),
    attempt("inbound", "550", 9.5, 11.0),
    attempt("delivery", "550", 25.0, 25.1),
    attempt("submission", "535"),
    attempt("imap", "AUTHENTICATIONFAILED", 21.0, 22.0),
], ids=lambda one: f"{one.way} {one.code}")
def test_a_promise_that_is_broken(one: Attempt) -> None:
    (line,) = promises.broken(PROMISE, [one], TIMES)
    assert line.startswith(f"{one.way}, ")
    assert one.code in line


def test_what_met_the_outage_is_told_once() -> None:
    met = promises.seen([attempt("inbound", "250", 1, 2), attempt("inbound", "451"), attempt("inbound", "451"),
                         attempt("imap", "OK", 9.5, 30), attempt("inbound", "250", 20.5, 21)], TIMES)
    assert met == {"inbound": ("451",), "submission": (), "delivery": (), "imap": ("OK",), "webmail": ()}


def test_only_whole_answers_are_held_against_a_promise() -> None:
    whole = attempt("inbound", "451", 11.0, 12.0)
    others = [attempt("inbound", "250", 9.0, 11.0), attempt("imap", "OK", 19.0, 20.5)]
    found = promises.within([whole, *others], 10.0, 20.0)
    assert found == {"inbound": [whole], "submission": [], "delivery": [], "imap": [], "webmail": []}
