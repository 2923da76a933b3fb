"""Messages that passed real nodes: tests/data/trace holds the nodes' logs, recorded by tests/boot/trace_inside.py.

`iso` are the logs of smtp-in (mx-1), pop-imap-lda (box-1) and smtp-out (out-1) by `journalctl -o short-iso-precise`;
`other` the same in other forms; `rsyslog` what rsyslog 8.2302 made of them with RSYSLOG_SyslogProtocol23Format (it cuts
`postfix/qmgr` at the slash). `webmail` is of a lab (`mailimg lab up`): a user writes a message in SOGo.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from mailimg.errors import InputError, StepError
from mailimg.trace import Trace, follow, report, sources, trace

DATA = Path(__file__).resolve().parents[2] / "data/trace"
ISO, OTHER, RSYSLOG = DATA / "iso", DATA / "other", DATA / "rsyslog"
SENT: dict[str, str] = json.loads((DATA / "sent.json").read_text())
FOREIGN, NOWHERE = "someone@elsewhere.example", "someone@no-such-domain.example"
ANNA, BELA, CARLA = "anna@example.org", "bela.b@example.org", "carla@example.org"
INBOX = {one: f"filed in INBOX of {one.partition('@')[0].partition('.')[0]}, on box-1" for one in (ANNA, BELA, CARLA)}
AWAY = "connect to box-1.cloud.example.org[10.90.0.22]:25: Connection refused"
KEPT = "to mail.sender.example[198.51.100.25]:25: 250 2.0.0 kept"

# Recipient, state, hop, and how the words begin.
EXPECTED: dict[str, list[tuple[str, str, int, str]]] = {
    "clean": [(ANNA, "delivered", 3, INBOX[ANNA])],
    "list": [(ANNA, "delivered", 3, INBOX[ANNA]), (BELA, "delivered", 3, INBOX[BELA])],
    # `nobody@` was refused before there was a queue id.
    "mixed": [("no.one@example.org", "rejected", 1, "mx-1 refused it, reject at RCPT: <no.one@example.org>: Recipient"),
              (ANNA, "delivered", 3, INBOX[ANNA]), (BELA, "delivered", 3, INBOX[BELA])],
    "spam": [(ANNA, "quarantined", 1, "/var/lib/amavis/virusmails/")],
    "virus": [(ANNA, "quarantined", 1, "/var/lib/amavis/virusmails/")],
    "marked": [(BELA, "delivered", 3, INBOX[BELA])],
    "first": [(CARLA, "delivered", 3, INBOX[CARLA])],
    "full": [(ANNA, "delivered", 3, INBOX[ANNA]),
             (CARLA, "deferred", 2, "host box-1.cloud.example.org[10.90.0.22] said: 452 4.2.2 <carla@example.org>: ")],
    "junk": [(ANNA, "delivered", 1, "filed in Junk of anna, on box-1")],
    "long": [(ANNA, "delivered", 3, INBOX[ANNA]), (BELA, "delivered", 3, INBOX[BELA])],
    "out": [(BELA, "delivered", 2, INBOX[BELA]), (FOREIGN, "delivered", 1, KEPT)],
    "infected": [(FOREIGN, "rejected", 1, "out-1 refused it, milter-reject at END-OF-MESSAGE: Refused: the message ")],
    "nowhere": [(NOWHERE, "bounced", 1, "Host or domain name not found. ")],
    "forwarded": [(BELA, "forwarded", 3, f"bela's filter forwards it to <{FOREIGN}>, on box-1"),
                  (FOREIGN, "delivered", 5, KEPT)],
    "deferred": [(ANNA, "delivered", 3, INBOX[ANNA])],
    "requeued": [(ANNA, "delivered", 5, INBOX[ANNA])],
    "deleted": [(ANNA, "deleted", 2, "by an administrator: removed, on mx-1")],
    "expired": [(ANNA, "bounced", 2, f"force-expired, returned to sender: {AWAY}")],
    "held": [(ANNA, "deferred", 2, f"held on mx-1; {AWAY}")],
    "unfiltered": [(ANNA, "delivered", 3, INBOX[ANNA])],
}


def told(found: Trace) -> list[tuple[str, str, int]]:
    """Verdicts without their words, which have times and ids."""
    return sorted((one.recipient, one.state, one.hop) for one in found.verdicts)


def test_every_recorded_message_is_expected() -> None:
    assert set(EXPECTED) == set(SENT)


@pytest.mark.parametrize("folder", [ISO, OTHER, RSYSLOG], ids=["iso", "other", "rsyslog"])
@pytest.mark.parametrize("name", EXPECTED)
def test_what_became_of_it(folder: Path, name: str) -> None:
    found = trace(SENT[name], [folder])
    verdicts = sorted(found.verdicts, key=lambda one: one.recipient)
    expected = sorted(EXPECTED[name])
    assert told(found) == [one[:3] for one in expected]
    assert [one.words[:len(wanted[3])] for one, wanted in zip(verdicts, expected, strict=True)] == [
        wanted[3] for wanted in expected]
    assert found.searched.warnings == []


def test_lists_tries_and_bounces() -> None:
    assert {one.list for one in trace(SENT["list"], [ISO]).verdicts} == {"all@example.org"}
    waits = next(one for one in trace(SENT["full"], [ISO]).verdicts if one.state == "deferred")
    assert waits.tries > 1
    assert waits.since is not None
    assert waits.since < waits.time
    assert waits.dsn == "4.2.2"
    found = trace(SENT["nowhere"], [ISO])
    assert [(one.recipient, one.state, one.hop) for one in found.bounces] == [(ANNA, "delivered", 3)]
    assert found.verdicts[0].bounce in found.hops
    assert report.message_ids(found) == [SENT["nowhere"]]


def test_a_bounce_says_of_what() -> None:
    """Asked for by its own id, it is a message like others, with a word on whose bounce it is."""
    failed = trace(SENT["nowhere"], [ISO])
    bounce = failed.verdicts[0].bounce
    found = trace(f"{bounce}@out-1.cloud.example.org", [ISO])
    assert told(found) == [(ANNA, "delivered", 2)]
    assert found.parents[bounce].said.queue_id == failed.verdicts[0].queue_id
    words = f"{bounce} is a bounce: of {failed.verdicts[0].queue_id} on out-1"
    assert any(words in line for line in report.text(found))
    assert report.document(found)["hops"][0]["bounce_of"] == failed.verdicts[0].queue_id


def test_what_the_webmail_sent() -> None:
    """SOGo says no id: it is known by its user, and by the moment of the request; the user's other messages are not."""
    for asked in ("1bf-6b035380-d-392c5500@42019187", "4jXgvJ1Wg2z2Q0"):
        found = trace(asked, [DATA / "webmail"])
        assert told(found) == [(FOREIGN, "delivered", 1)]
        (sent,) = (event for event in found.events if event.node == "sogo-1")
        assert sent.said.words == "the webmail of bela sends, answers 200 after 0.876 s"
    assert (DATA / "webmail/sogo-1.log").read_text().count("/send HTTP") > 1


def test_a_queue_id_finds_the_same_as_the_message_id() -> None:
    """From any node: backward by who handed it over, forward by whom it was handed to."""
    for name in ("list", "spam", "expired"):
        whole = trace(SENT[name], [ISO])
        for queue_id, hop in whole.hops.items():
            found = trace(queue_id, [ISO])
            if not hop.bounce_of:
                assert told(found) == told(whole), (name, queue_id)
                assert set(found.hops) == set(whole.hops)


def test_a_queue_id_finds_one_copy() -> None:
    """What a recipient's filter sent on has the same message id, and is a copy of its own."""
    whole = trace(SENT["forwarded"], [ISO])
    first = next(iter(whole.hops))
    assert [one.state for one in trace(first, [ISO]).verdicts] == ["forwarded"]


def test_a_node_whose_log_is_missing() -> None:
    found = trace(SENT["clean"], [ISO / "mx-1.log"])
    (verdict,) = found.verdicts
    assert (verdict.state, verdict.hop) == ("unknown", 2)
    assert verdict.words.startswith("handed over to box-1.cloud.example.org[10.90.0.22]:25 as ")
    assert any(line.startswith(f"{ANNA}: unknown after hop 2: handed over") for line in report.text(found))
    (there,) = trace(SENT["clean"], [ISO / "box-1.log"]).verdicts
    assert (there.state, there.hop) == ("delivered", 1)


def test_a_log_that_ends_in_the_middle(tmp_path: Path) -> None:
    """The message is in a queue, and nothing more is known."""
    lines = (ISO / "mx-1.log").read_text().splitlines(keepends=True)
    last = next(number for number, line in enumerate(lines) if SENT["clean"] in line) + 1
    (tmp_path / "mx-1.log").write_text("".join(lines[:last + 1]))
    (verdict,) = trace(SENT["clean"], [tmp_path]).verdicts
    assert (verdict.recipient, verdict.state) == ("?", "unknown")
    assert verdict.words.startswith("in the queue of mx-1; the last that is known: from <sender@sender.example>")
    (tmp_path / "mx-1.log").write_text("".join(lines[:last]))
    (verdict,) = trace(SENT["clean"], [tmp_path]).verdicts
    assert verdict.words.startswith("not all of it came: it is not in the queue of mx-1")


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress),
                                              (".1", gzip.compress)])
def test_packed_logs(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    """By their first bytes, whatever they are called."""
    for path in ISO.iterdir():
        (tmp_path / f"{path.name}{suffix}").write_bytes(pack(path.read_bytes()))
    assert told(trace(SENT["list"], [tmp_path])) == told(trace(SENT["list"], [ISO]))


def test_a_damaged_archive_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    for path in ISO.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = gzip.compress((ISO / "mx-1.log").read_bytes())
    (tmp_path / "mx-1.log").write_bytes(whole[:-200])
    found = trace(SENT["clean"], [tmp_path])
    assert [one.state for one in found.verdicts] == ["delivered"]
    assert [warning.split(": ")[1] for warning in found.searched.warnings] == ["damaged, read as far as it goes"]


def test_the_same_lines_in_two_files_count_once(tmp_path: Path) -> None:
    """As in syslog and mail.log."""
    for path in ISO.iterdir():
        for name in ("syslog", "mail.log"):
            folder = tmp_path / path.stem
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes(path.read_bytes())
    found, once = trace(SENT["full"], [tmp_path]), trace(SENT["full"], [ISO])
    assert len(found.events) == len(once.events)
    assert [one.tries for one in found.verdicts] == [one.tries for one in once.verdicts]


def test_a_message_in_two_copies(tmp_path: Path) -> None:
    """A client that was not answered in time comes again: two queue ids, each delivered."""
    lines = (ISO / "box-1.log").read_text()
    first = trace(SENT["junk"], [ISO])
    (queue_id,) = first.hops
    session = next(event.said.session for event in first.events if event.said.session)
    again = "".join(line + "\n" for line in lines.splitlines() if queue_id in line or session in line)
    again = again.replace(queue_id, "4jXgXz0000z4Z").replace(session, session[::-1])
    (tmp_path / "box-1.log").write_text(lines + again)
    found = trace(SENT["junk"], [tmp_path])
    assert {(one.recipient, one.state, one.queue_id) for one in found.verdicts} == {
        (ANNA, "delivered", queue_id), (ANNA, "delivered", "4jXgXz0000z4Z")}
    assert any("2 hops, 2 copies, first seen" in line for line in report.text(found))


def test_a_message_that_is_passed_on_to_its_recipients_server(tmp_path: Path) -> None:
    """Another node files it, in a session of its own."""
    lines = (ISO / "box-1.log").read_text().splitlines()
    session = next(event.said.session for event in trace(SENT["junk"], [ISO]).events if event.said.session)
    other = "KNLeJk/GA2smBAAAcf92+g"
    filed = [line for line in lines if session in line and " dovecot" in line]
    head = filed[0].partition("lmtp(")[0]
    passed_on = (f"{head}lmtp(1875): lmtp-server: conn 127.0.0.1:60588 [16]: rcpt {ANNA}: <{session}>: Sent message to "
                 f"<{ANNA}> at 10.91.0.32:10124: 250 2.0.0 <{ANNA}> {other} Saved (1/1 at 777 ms)")
    (tmp_path / "box-1.log").write_text("\n".join([line for line in lines if line not in filed] + [passed_on]) + "\n")
    (tmp_path / "box-2.log").write_text("\n".join(filed).replace(session, other).replace("box-1", "box-2") + "\n")
    found = trace(SENT["junk"], [tmp_path])
    assert [(one.state, one.words) for one in found.verdicts] == [("delivered", "filed in Junk of anna, on box-2")]
    assert any("passed on to the recipient's server, 10.91.0.32:10124" in line for line in report.text(found))


def test_what_is_no_id() -> None:
    for asked in ("", "hello", "a b@c", "<>", "../etc/passwd", "12345"):
        with pytest.raises(InputError, match="neither a message id nor a queue id"):
            trace(asked, [ISO])


def test_what_no_line_speaks_of() -> None:
    with pytest.raises(StepError, match=r"<?never@sender.example>? is in none of [\d,]+ lines of 3 files"):
        trace("never@sender.example", [ISO])


def test_there_is_an_end_to_copies() -> None:
    many = follow.Following("m@x.example")
    for number in range(follow.LIMIT + 1):
        line = f"Nov 22 20:06:27 mx-1 postfix/cleanup[1]: {number:010X}: message-id=<m@x.example>"
        many.feed(line.encode(), "", sources.written(DATA), (0, number))
    with pytest.raises(StepError, match=f"more than {follow.LIMIT} queue ids belong to <m@x.example>"):
        many.wanted()
