"""What daemons and the kernel tell, read from recorded answers, and the text that comes of it."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from firstboot_figures import (
    CLAMD_BARE,
    CLAMD_LOADED,
    CLAMD_STATS,
    GROUPS,
    MEMCACHED,
    NFSD,
    SHOWN,
    WHO,
    WHO_NOBODY,
    figures_machine,
)
from firstboot_machine import ROLE, FakeClock

from mailimg_firstboot import mariadb, rolefile, systemd
from mailimg_firstboot.metrics import collecting, exports, filters, mailboxes, mailqueue, processes, webmail
from mailimg_firstboot.metrics.exposition import Sample, Samples, render
from mailimg_firstboot.metrics.view import View


@pytest.mark.parametrize(("name", "came"), [
    # Postfix 3.7's log has them at 2026-11-22T20:29:09.305461 and .092739.
    ("4jXgdx28vPz7D", 1795379349.305313),
    ("4jXgdx0fFyz79", 1795379349.092662),
    # Seconds 52**6 and 1, microseconds 52**3 and 2.
    ("1000001" + "1002" + "z" + "3M", 52 ** 6 + 1 + (52 ** 3 + 2) / 1e6),
    ("z00000" + "0000" + "z1", 51 * 52 ** 5),
    ("3F2A51C0D7", None),
])
def test_when_a_message_came(name: str, came: Optional[float]) -> None:
    assert mailqueue.arrival(name) == came


def test_messages_are_told_from_other_files(tmp_path: Path) -> None:
    for name in ("A/1000001" + "1002z3M", "B/C/3F2A51C0D7", "123456.7890", "1000001z3M", "lower3f2a", "x~"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert sorted(mailqueue.ids(str(tmp_path))) == ["10000011002z3M", "3F2A51C0D7"]
    assert mailqueue.ids(str(tmp_path / "never made")) == []


@pytest.mark.parametrize(("title", "state"), [
    ("/usr/sbin/amavisd (master)", None),
    ("/usr/sbin/amavisd (virgin child)", "idle"),
    ("/usr/sbin/amavisd (ch1-avail)", "idle"),
    ("/usr/sbin/amavisd (ch12-idle)", "connected"),
    ("/usr/sbin/amavisd (ch12-01234-05-idle)", "connected"),
    ("/usr/sbin/amavisd (ch3-P-idle)", "connected"),
    ("/usr/sbin/amavisd (ch12-01234-05)", "busy"),
    ("/usr/sbin/amavisd (01234-05-2)", "busy"),
    ("/usr/sbin/amavisd (ch4-accept)", "busy"),
    ("/usr/sbin/amavisd (ch4)", "busy"),
    ("sub-/usr/sbin/amavisd", None),
    ("/usr/bin/7z x -bd", None),
])
def test_what_a_filter_process_does(title: str, state: Optional[str]) -> None:
    assert filters.worker(title) == state


def test_threads_of_clamd() -> None:
    assert filters.stats(CLAMD_STATS) == {"busy": 0, "idle": 0, "max": 6, "queue": 0}
    busy = CLAMD_STATS.replace(b"live 1  idle 0", b"live 6  idle 1").replace(b"QUEUE: 0", b"QUEUE: 14")
    assert filters.stats(busy) == {"busy": 4, "idle": 1, "max": 6, "queue": 14}
    with pytest.raises(ValueError, match="of another form"):
        filters.stats(b"UNKNOWN COMMAND\0")


@pytest.mark.parametrize(("answer", "version"), [(CLAMD_BARE, None), (CLAMD_LOADED, 27500), (b"", None)])
def test_loaded_signatures(answer: bytes, version: Optional[int]) -> None:
    assert filters.version(answer) == version


@pytest.mark.parametrize(("text", "sessions", "users"), [
    (WHO_NOBODY, {}, 0), ("", {}, 0), (WHO, {"imap": 2, "pop3": 1, "sieve": 1}, 2),
])
def test_sessions(text: str, sessions: Dict[str, int], users: int) -> None:
    assert mailboxes.who(text) == (sessions, users)


def test_another_table_is_no_list_of_sessions() -> None:
    with pytest.raises(ValueError, match="another table: username, #, proto"):
        mailboxes.who("username\t#\tproto\t(pids)\t(ips)\n")


def test_memcached() -> None:
    found = webmail.stats(MEMCACHED)
    assert {name: found[name] for name in ("curr_connections", "bytes", "get_hits", "get_misses", "evictions")} == {
        "curr_connections": 3, "bytes": 118, "get_hits": 5, "get_misses": 2, "evictions": 0}
    with pytest.raises(ValueError, match="does not tell bytes, curr_connections"):
        webmail.stats(b"ERROR\r\n")


def test_calls_of_clients() -> None:
    assert exports.figures(NFSD) == {"calls": 97, "bad": 2}
    with pytest.raises(ValueError, match="no line `rpc`"):
        exports.figures("rc 0 0 0\n")


def test_units() -> None:
    units = ["clamav-daemon.service", "postfix@-.service", "none.service"]
    assert systemd.active(SHOWN, units) == {
        units[0]: 26319.719558, units[1]: None, units[2]: None}
    assert systemd.active("", []) == {}
    with pytest.raises(ValueError, match="showed 3 of 2 units"):
        systemd.active(SHOWN, units[:2])


@pytest.mark.parametrize(("groups", "unit"), [
    (GROUPS, "amavis.service"),
    ("1:name=systemd:/system.slice/system-postfix.slice/postfix@-.service\n", "postfix@-.service"),
    ("0::/system.slice/dovecot.service/imap\n", "dovecot.service"),
    ("0::/machine.slice/host.service/system.slice/sogo.service\n", "sogo.service"),
    ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
    ("0::/\n", ""),
])
def test_the_unit_of_a_process(groups: str, unit: str) -> None:
    assert processes.unit(groups) == unit


def test_processes_of_a_machine(tmp_path: Path) -> None:
    host = figures_machine(tmp_path)
    assert processes.table(host) == []
    host.process(7, "sogo.service", "/usr/sbin/sogod\0-WOWorkersCount\0003\0\0", 5)
    host.path("/proc/8").mkdir()
    (found,) = processes.table(host)
    assert (found.pid, found.unit, found.title) == (7, "sogo.service", "/usr/sbin/sogod -WOWorkersCount 3")
    assert found.resident > 5000


class Asked:
    """A client program that prints rows."""

    def __init__(self, rows: bytes) -> None:
        self.out = rows
        self.argv: List[str] = []

    def __call__(self, argv: List[str], _what: str, timeout: float) -> Any:
        self.argv, self.timeout = argv, timeout
        return self


def test_figures_of_the_database() -> None:
    asked = Asked(b"Questions\t41\nSlow_queries\t0\nThreads_connected\t3\n")
    found = mariadb.MariaDB(asked).figures("/usr/bin/mariadb", "/run/mysqld/mysqld.sock", 5.0)
    assert found == {"Questions": 41, "Slow_queries": 0, "Threads_connected": 3}
    assert asked.timeout == 5.0
    assert asked.argv[-1] == (
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Slow_queries', 'Threads_connected')")
    with pytest.raises(ValueError, match="tells Questions only"):
        mariadb.MariaDB(Asked(b"Questions\t41\n")).figures("c", "s", 5.0)


def test_text() -> None:
    samples = Samples()
    samples.add("quarantine_messages", 3)
    samples.add("service_active", True, unit="b.service", service='odd "name"\\\n')
    samples.add("service_active", False, unit="a.service", service="a")
    samples.add("check_duration_seconds", 0.0125, check="smtp")
    samples.add("filesystem_avail_bytes", 6319017984, place="queue", path="/var/spool/postfix")
    assert render(samples.found).splitlines() == [
        "# HELP mailimg_check_duration_seconds How long the answer to a check took",
        "# TYPE mailimg_check_duration_seconds gauge",
        'mailimg_check_duration_seconds{check="smtp"} 0.0125',
        "# HELP mailimg_service_active 1: systemd calls the unit active. Services that the site wants",
        "# TYPE mailimg_service_active gauge",
        'mailimg_service_active{service="a",unit="a.service"} 0',
        'mailimg_service_active{service="odd \\"name\\"\\\\\\n",unit="b.service"} 1',
        "# HELP mailimg_filesystem_avail_bytes What is free of it for others than root",
        "# TYPE mailimg_filesystem_avail_bytes gauge",
        'mailimg_filesystem_avail_bytes{place="queue",path="/var/spool/postfix"} 6319017984',
        "# HELP mailimg_quarantine_messages Messages in quarantine",
        "# TYPE mailimg_quarantine_messages gauge",
        "mailimg_quarantine_messages 3",
    ]


def test_the_last_of_two_counts() -> None:
    both = [Sample("mailimg_up", ("smtp",), 0.0), Sample("mailimg_up", ("smtp",), 1.0)]
    assert render(both).splitlines()[2:] == ['mailimg_up{check="smtp"} 1']


@pytest.mark.parametrize(("name", "labels"), [("postfix_queue", {}), ("up", {}), ("up", {"check": "a", "port": "25"})])
def test_what_the_catalogue_does_not_have(name: str, labels: Dict[str, str]) -> None:
    with pytest.raises(KeyError):
        Samples().add(name, 1, **labels)


def test_nothing_is_asked_of_the_daemons_of_a_node_that_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd listens for clamd and rpcbind: whoever connects starts them again."""
    socket = {"socket": "/run/clamav/clamd.ctl", "database": "/var/lib/clamav"}
    host = figures_machine(tmp_path, services=[{"name": "clamd", "unit": "clamd.service"}], facts__clamd=socket)
    asked: List[str] = []
    monkeypatch.setattr(host, "probe", lambda check, _: asked.append(check.name))
    monkeypatch.setattr(host, "talk", lambda place, *_: asked.append(place) or CLAMD_STATS)
    role = rolefile.trusted(host.read("/etc/mailimg/role.json") or b"")
    for names, wanted in ((["drain", "intake", "flush"], {"clamd", "smtp", "/run/clamav/clamd.ctl"}),
                          (["drain", "intake", "flush", "services"], set())):
        asked.clear()
        steps = [{"name": name, "state": "done", "seconds": 0.1, "waited": 0.0} for name in names]
        host.write("/run/mailimg/status.json", json.dumps({"state": "leaving", "steps": steps}).encode())
        text = collecting.collect(host, FakeClock(), role, lambda _: None)
        assert set(asked) == wanted
        assert 'mailimg_up{check="smtp"} {}\n'.replace("{}", str(int(bool(wanted)))) in text


def test_claims(tmp_path: Path) -> None:
    host = figures_machine(tmp_path)
    view = View(host, FakeClock(), rolefile.load(json.dumps(ROLE).encode()), {}, [])
    assert view.claims("check_smtp") == ["smtp"]
    assert view.claims("queue") == []
