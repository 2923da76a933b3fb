"""The parts of a verification that need no node."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mailimg.clients import letters, mailbox, managesieve
from mailimg.errors import InputError
from mailimg.machines import seed
from mailimg.peers import addresses as at
from mailimg.peers import directory, names
from mailimg.verify import scenarios, session
from mailimg.verify.scenarios.submission import verify_signature
from mailimg.verify.values import Request, RoleView


def test_texts_longer_than_a_string_of_dns() -> None:
    assert names.txt_record("a.example", "x" * 300) == f'txt-record=a.example,"{"x" * 255}","{"x" * 45}"'


def test_lists_hold_people_and_lists() -> None:
    text = directory.ldif(directory.USERS, directory.GROUPS, "pw")
    entry = next(one for one in text.split("\n\n") if "cn: all" in one)
    assert f"member: cn=team,ou=people,{at.BASE_DN}" in entry.splitlines()
    assert f"member: {directory.user_dn('anna')}" in entry.splitlines()


def test_site_document_takes_further_keys() -> None:
    found = seed.site_document("smtp-out", "pw", "system", {"a": 1}, {"dkim": []})
    assert (found["dkim"], found["tuning"], found["role"]) == ([], {"smtp-out": {"a": 1}}, "smtp-out")


def test_every_scenario_has_its_shape() -> None:
    for name in ("mx", "submission", "access", "mailbox"):
        found = [title for title, _ in scenarios.find(name).checks()]
        assert len(set(found)) == len(found) > 5


def test_sender_of_a_letter() -> None:
    assert b"From: Sender <a@b.example>\r\n" in letters.clean("x@y.example", "a@b.example").content


@pytest.mark.parametrize(("line", "wanted"), [
    (b'(\\HasNoChildren \\Junk) "/" Junk', ("Junk", "\\HasNoChildren \\Junk")),
    (b'(\\Subscribed) "/" "two words"', ("two words", "\\Subscribed")),
    (b'() "/" shared/anna/Project', ("shared/anna/Project", "")),
])
def test_folder_lines(line: bytes, wanted: tuple[str, str]) -> None:
    assert mailbox.parse_folder(line) == wanted


def test_capabilities_of_managesieve() -> None:
    lines = [b'"IMPLEMENTATION" "x"', b'"SASL" ""', b'"STARTTLS"', b""]
    assert managesieve.capabilities(lines) == {"IMPLEMENTATION": "x", "SASL": "", "STARTTLS": ""}


def test_mounts_need_a_container(tmp_path: Any) -> None:
    role = RoleView("pop-imap-lda", (25,), ("mailbox",))
    with pytest.raises(InputError, match="/MAILBOXES has to be mounted"):
        session.make_machine(Request(role, "qemu", "x.qcow2", str(tmp_path)), tmp_path, {"/MAILBOXES": 5000}, 0)


def test_a_message_without_a_signature_is_found_out() -> None:
    record = "v=DKIM1; k=rsa; p=" + base64.b64encode(b"x").decode()
    with pytest.raises(scenarios.CheckFailed, match="DKIM"):
        verify_signature(letters.clean("x@y.example").content, record)


def test_an_answer_that_no_check_expects_fails_that_check_only() -> None:
    def strange(bench: None) -> str:
        raise ConnectionRefusedError(111, "Connection refused")

    seen: list[bool] = []
    both = [("one", strange), ("two", lambda bench: "good")]
    results = scenarios.run(both, None, lambda one: seen.append(one.ok))
    assert seen == [False, True]
    assert results[0].detail.startswith("ConnectionRefusedError: [Errno 111] Connection refused (test_verify_pieces.py")
