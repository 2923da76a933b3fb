"""The peers of a verification answer those who know nothing of them: OpenLDAP's, glibc's and Python's own clients."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mailimg import process
from mailimg.peers import addresses as at

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `peers_inside.py` saw; it runs once, in namespaces of its own."""
    script = Path(__file__).with_name("peers_inside.py")
    argv = process.confine([sys.executable, str(script), str(tmp_path_factory.mktemp("peers"))], network=True)
    answer: dict[str, Any] = json.loads(process.run(argv, what="ask the peers", timeout=120).stdout)
    return answer


def test_dns_knows_the_peers_and_nobody_else(told: dict[str, Any]) -> None:
    assert told["known"] == [at.HOST4]
    assert told["unknown"] == 2  # getent: not found


def test_the_directory_answers_under_tls(told: dict[str, Any]) -> None:
    assert told["directory"]["starttls"] == [
        0, [f"dn: cn=anna,ou=people,{at.BASE_DN}", "mail: anna@example.org", "info: 1073741824"]]
    assert told["directory"]["ldaps"] == [0, [f"dn: cn=team,ou=people,{at.BASE_DN}", "mail: team@example.org"]]


def test_the_directory_takes_no_password_without_tls_and_no_wrong_one(told: dict[str, Any]) -> None:
    assert told["directory"]["plain"] == 13  # confidentiality required
    assert told["directory"]["wrong password"] == 49  # invalid credentials


def test_the_directorys_certificate_chains_to_its_own_authority_only(told: dict[str, Any]) -> None:
    status, said = told["directory"]["stranger"]
    assert status != 0
    assert said[0] == "ldap_start_tls: Connect error (-11)"


def test_the_directory_can_go_away_and_come_back(told: dict[str, Any]) -> None:
    assert told["directory"]["stopped"] == [1, ["ldap_start_tls: Can't contact LDAP server (-1)"]]
    assert told["directory"]["back"] == 0


def test_the_sink_keeps_a_message_byte_by_byte(told: dict[str, Any]) -> None:
    assert told["sink"] == {"whole": True, "sender": "s@sender.example", "recipients": ["anna@example.org"],
                            "missing": True}


def test_nothing_of_it_is_seen_outside(told: dict[str, Any]) -> None:
    assert "mailimg0" in told["links"]
    assert not Path("/sys/class/net/mailimg0").exists()
