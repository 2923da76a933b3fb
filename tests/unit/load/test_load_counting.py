"""What is counted of a load: letters, arrivals, answers, hops, processor time."""

from __future__ import annotations

import json

import pytest

from mailimg.load import hops, letters, maildirs, usage
from mailimg.load.figures import Run, medians, percentile, ratio
from mailimg.load.generator import DOUBTFUL, UNANSWERED, Outcome
from mailimg.load.ledger import ledger


def outcome(number: int, code: int) -> Outcome:
    return Outcome(number, 100.0, 0.5, code)


def test_a_letter_is_told_by_run_and_number() -> None:
    one = letters.letter("ab12", 7, "anna@example.org")
    assert letters.numbers(one.content.decode(), "ab12") == [7]
    assert letters.numbers(one.content.decode(), "ab13") == []
    assert b"\n" not in one.content.replace(b"\r\n", b"")


def test_every_fourth_letter_has_an_attachment_that_is_no_program() -> None:
    sizes = [len(letters.letter("ab12", number, "anna@example.org").content) for number in range(8)]
    assert [size > 30_000 for size in sizes] == [True, False, False, False] * 2
    whole = letters.letter("ab12", 0, "anna@example.org").content
    assert b"base64\r\n\r\nZmlndXJlcyBvZiBhIGxvYWQgcnVu" in whole
    assert len(letters.letter("ab12", 1, "anna@example.org", 100_000).content) > 130_000


def test_a_ledger_tells_lost_twice_and_phantom() -> None:
    sent = [outcome(0, 250), outcome(1, 250), outcome(2, 452), outcome(3, 550), outcome(4, UNANSWERED),
            outcome(5, DOUBTFUL), outcome(6, 421)]
    whole = ledger(sent, [0, 1, 5])
    assert whole.whole
    assert (whole.taken, whole.later, whole.refused, whole.unanswered, whole.doubtful) == (2, {452: 1, 421: 1},
                                                                                        {550: 1}, 1, 1)
    assert str(whole) == ("2 of 7 taken, 1 x 421, 1 x 452, 1 x 550, 1 unanswered, 1 doubtful, "
                          "each taken one arrived once")
    broken = ledger(sent, [0, 0, 2])
    assert not broken.whole
    assert (broken.lost, broken.twice, broken.phantom) == ((1,), (0,), (2,))
    assert "1 LOST (number 1 ...), 1 TWICE (number 0 ...), 1 PHANTOM (number 2 ...)" in str(broken)


def test_arrivals_are_read_from_names_of_maildir_files() -> None:
    text = ("/MAILBOXES/0a1/anna/Maildir/new/1795380538.M320528P271.pop-1,S=40331,W=40891:"
            "Message-ID: <load.ab12.52@\n"
            "/MAILBOXES/0a1/anna/Maildir/.Junk/cur/1795380539.M000001P2.pop-1,S=3:2,S:Message-ID: <load.ab12.53@\n"
            "/MAILBOXES/0a1/anna/Maildir/dovecot.index.cache: binary file matches\n"
            "/MAILBOXES/0a1/anna/Maildir/tmp/1795380539.M000001P2.pop-1:Message-ID: <load.ab12.54@\n")
    assert maildirs.parse(text) == [(52, pytest.approx(1795380538.320528)), (53, pytest.approx(1795380539.000001))]


def test_hops_are_read_from_postfix_log() -> None:
    log = ("1795380538.320528 node postfix/filter/smtp[351]: 4jXh4n3N6fz2ps: to=<a@example.org>, "
           "relay=127.0.0.1[127.0.0.1]:10024, delay=1.2, delays=0.05/0.01/0/1.1, dsn=2.0.0, status=sent (250 2.0.0)\n"
           "1795380538.4 node postfix/smtp[9]: 4jXh4p1nd6z2w5: to=<a@example.org>, orig_to=<b@example.org>, "
           "relay=d[10.0.0.1]:25, conn_use=2, delay=0.04, delays=0/0/0/0.04, dsn=2.0.0, status=sent (250)\n"
           "1795380538.5 node postfix/smtp[9]: 4jXh4p1nd6z2w6: to=<a@example.org>, relay=none, delay=30, "
           "delays=0/0/30/0, dsn=4.4.1, status=deferred (connect: timed out)\n")
    assert hops.times(log) == {"filter/smtp": [1.2], "smtp": [0.04]}


def test_usage_is_of_mail_and_between_two_answers() -> None:
    def told(amavis: int) -> dict[str, usage.Unit]:
        units = {"amavis.service": [amavis, 2048, 5], "systemd-journald.service": [50, 1024, 1], "other": [1, 1, 1]}
        return usage.parse(json.dumps({"ticks": 100, "units": units}))

    before, after = told(100), told(350)
    assert list(usage.of_mail(after)) == ["amavis"]
    assert after["amavis"] == usage.Unit(3.5, 2.0, 5)
    assert usage.spent(before, after) == {"amavis": 2.5}


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50.0, 99.0, 100.0)
    assert percentile([3.0], 50) == 3.0
    assert percentile([], 50) == 0.0


def test_ratios_are_of_neighbours() -> None:
    assert ratio([10, 20, 30], [10, 10, 60]) == 1
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
    assert medians([{"a": 1.0}, {"a": 3.0, "b": 5.0}, {"a": 2.0}]) == {"a": 2.0, "b": 5.0}


def test_a_run_in_figures() -> None:
    run = Run("ours", 4.0, ledger([outcome(0, 250), outcome(1, 250)], [0, 1]), [1.0, 2.0], [0.5, 0.5],
              {"amavis": 0.5}, {"amavis": 100.0, "postfix": 20.0}, {"lmtp": [0.1]})
    figures = run.figures()
    assert (figures["per core"], figures["memory"], figures["cpu amavis"]) == (4.0, 120.0, 250.0)
    assert (figures["p50"], figures["p99"], figures["lmtp p99"]) == (1.0, 2.0, 0.1)
