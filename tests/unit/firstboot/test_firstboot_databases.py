"""Databases of the node: made once, never dropped; none where the site has a server elsewhere."""

from pathlib import Path
from typing import Any, List

import pytest
from firstboot_machine import SITE, FakeHost, machine, picture, with_keys, work
from firstboot_store import MARIADB_UNIT, STORED_KEYS

from mailimg_firstboot.errors import StepError
from mailimg_firstboot.mariadb import MariaDB
from mailimg_firstboot.programs import Completed
from mailimg_firstboot.steps import databases, services

STORED = with_keys(SITE, **STORED_KEYS)
ELSEWHERE = with_keys(STORED, database={"host": "db.example.org", "user": "sogo", "password": "literal:x"})


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return machine(tmp_path, store=True)


def test_the_server_is_started_and_not_started_again_by_the_services(host: FakeHost) -> None:
    goal = work(host, STORED)
    assert databases.check(host, goal) == "sogo: mariadb.service is inactive (dead)"
    databases.apply(host, goal)
    services.apply(host, goal)
    assert [one for one in host.systemd.orders if MARIADB_UNIT in one] == ["start mariadb.service"]


def test_what_is_missing_is_said(host: FakeHost) -> None:
    goal = work(host, STORED)
    databases.apply(host, goal)
    host.mariadb.accounts.clear()
    assert databases.check(host, goal) == "sogo: no account, rights"


def test_undo_keeps_the_data(host: FakeHost) -> None:
    goal = work(host, STORED)
    databases.apply(host, goal)
    databases.undo(host, goal)
    assert host.mariadb.databases == {"sogo"}
    assert host.mariadb.accounts == set()


def test_a_server_that_does_not_start(host: FakeHost) -> None:
    host.systemd.refuse.add(MARIADB_UNIT)
    with pytest.raises(StepError, match=r"start mariadb: mariadb\.service is inactive") as caught:
        databases.apply(host, work(host, STORED))
    assert "journalctl -u mariadb.service" in caught.value.hint


def test_a_server_elsewhere(host: FakeHost) -> None:
    host.path("/etc/mailimg/role.json").write_text(
        host.path("/etc/mailimg/role.json").read_text().replace(
            '{"name": "mariadb", ', '{"name": "mariadb", "without": "database", '))
    goal = work(host, ELSEWHERE)
    before = picture(host)
    assert databases.check(host, goal) is None
    databases.apply(host, goal)
    databases.undo(host, goal)
    assert picture(host) == before
    host.systemd.start(MARIADB_UNIT)
    assert "mariadb: runs, and the site document has no use for it" in (services.check(host, goal) or "")
    services.apply(host, goal)
    assert MARIADB_UNIT not in host.systemd.running
    assert services.check(host, goal) is None


class Asked:
    """Records what the client is started with and answers."""

    def __init__(self, out: str) -> None:
        self.out = out
        self.calls: List[List[str]] = []

    def __call__(self, argv: List[str], what: str, timeout: float) -> Any:
        self.calls.append(argv)
        return Completed(0, self.out.encode(), "")


def test_the_client_takes_no_settings_of_others_and_no_password() -> None:
    asked = Asked("database\naccount\n")
    server = MariaDB(asked)
    assert server.missing("/usr/bin/mariadb", "/run/s", "sogo", "sogo") == "rights"
    server.create("/usr/bin/mariadb", "/run/s", "sogo", "sogo", "utf8")
    server.close("/usr/bin/mariadb", "/run/s", "sogo", "sogo")
    assert [argv[1] for argv in asked.calls] == ["--no-defaults"] * 4
    statements = [argv[-1] for argv in asked.calls]
    assert "CREATE DATABASE IF NOT EXISTS `sogo` CHARACTER SET utf8 COLLATE utf8_unicode_ci;" in statements[1]
    assert "TO 'sogo'@'localhost' IDENTIFIED VIA unix_socket" in statements[1]
    assert statements[3] == "DROP USER 'sogo'@'localhost';"
    assert not [word for argv in asked.calls for word in argv if "password" in word.lower() or "DROP DATABASE" in word]


def test_an_account_that_is_not_there_is_not_dropped() -> None:
    asked = Asked("database\n")
    MariaDB(asked).close("/usr/bin/mariadb", "/run/s", "sogo", "sogo")
    assert len(asked.calls) == 1
