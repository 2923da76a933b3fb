"""A collection: what a node tells by what its role has and its site wants, and that nothing that hangs keeps it."""

import io
import json
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_figures import CLAMD_LOADED, CLAMD_STATS, MEMCACHED, NFSD, WHO, FiguresHost, figures_machine
from firstboot_machine import SITE, FakeClock, machine, with_keys, work
from firstboot_store import STORED_KEYS

from mailimg_firstboot import cli, engine, rolefile
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.metrics import collecting
from mailimg_firstboot.metrics.mailqueue import DIGITS
from mailimg_firstboot.postfix import Message
from mailimg_firstboot.report import read_status
from mailimg_firstboot.waiting import Clock

FOLDER = "/var/lib/prometheus/node-exporter/mailimg.prom"


def service(name: str, unit: str = "", **more: str) -> Dict[str, Any]:
    return dict({"name": name, "unit": unit or name + ".service"}, **more)


def queue_id(ago: int) -> str:
    """The id of a message that came that many seconds before FakeClock's now."""
    seconds, digits = int(FakeClock().epoch()) - ago, ""
    while seconds:
        seconds, digit = divmod(seconds, len(DIGITS))
        digits = DIGITS[digit] + digits
    return digits + "0000z1"


def collected(host: FiguresHost, clock: Clock, said: List[str], deadline: float = 8.0) -> Dict[str, str]:
    """A collection, by name and labels as they are written."""
    role = rolefile.trusted(host.read("/etc/mailimg/role.json") or b"")
    text = collecting.collect(host, clock, role, said.append, deadline)
    return dict(line.rsplit(" ", 1)[:2] for line in text.splitlines() if not line.startswith("#"))


def told(host: FiguresHost, status: Dict[str, Any], said: List[str]) -> Dict[str, str]:
    """A collection after a run of the agent that left this status."""
    host.write("/run/mailimg/status.json", json.dumps(status).encode())
    return collected(host, FakeClock(), said)


READY: Dict[str, Any] = {
    "state": "ready", "updated": "2026-03-01T11:00:00Z", "boot_seconds": 12.5,
    "steps": [{"name": "join", "seconds": 1.7, "waited": 0.5}], "services": None, "storage": None,
    "certificate": {"names": ["mail.example.org"], "not_after": "2026-03-11T12:00:00Z", "source": "x",
                    "checked": "2026-03-01T10:00:00Z", "kept": False, "warn_days": 14, "warning": None},
}


@pytest.fixture
def said() -> List[str]:
    return []


def test_a_filtering_node(tmp_path: Path, said: List[str]) -> None:
    host = figures_machine(
        tmp_path, services=[service("clamd"), service("amavis"), service("postfix", "postfix@-.service")],
        facts__clamd={"socket": "/run/clamav/clamd.ctl", "database": "/var/lib/clamav"},
        facts__amavis={"quarantine": "/var/lib/amavis/virusmails"})
    host.systemd.running = {"clamd.service": {}, "postfix@-.service": {}}
    host.answers_to = {"/run/clamav/clamd.ctl": [CLAMD_STATS, CLAMD_LOADED]}
    host.answers = {"smtp": "no answer: Connection refused"}
    host.process(5, "amavis.service", "/usr/sbin/amavisd (master)")
    host.process(6, "amavis.service", "/usr/sbin/amavisd (ch1-avail)")
    host.process(7, "amavis.service", "/usr/sbin/amavisd (ch1-00005-01)")
    spam = host.path("/var/lib/amavis/virusmails/8/spam-8.gz")
    spam.parent.mkdir(parents=True)
    spam.write_bytes(b"x" * 321)
    # An hour and ten minutes before FakeClock's now; one that does not tell.
    host.postfix.put(Message(queue_id(3600), "active"), Message(queue_id(600), "active"),
                     Message("3F2A51C0D7", "deferred"))
    found = told(host, READY, said)
    assert said == []
    expected = {
        'up{check="clamd"}': "1", 'up{check="smtp"}': "0", 'agent_state{state="ready"}': "1",
        'agent_state{state="failed"}': "0", 'service_active{service="clamd",unit="clamd.service"}': "1",
        'service_active{service="amavis",unit="amavis.service"}': "0", 'service_active_seconds{service="clamd"}': "10",
        'service_processes{service="amavis"}': "3", 'amavis_workers{state="busy"}': "1",
        'amavis_workers{state="idle"}': "1", "quarantine_messages": "1", "quarantine_size_bytes": "321",
        'clamd_threads{state="busy"}': "0", "clamd_threads_limit": "6", "clamd_signatures_version": "27500",
        'postfix_queue_messages{queue="deferred"}': "1", 'postfix_queue_messages{queue="active"}': "2",
        'postfix_queue_oldest_age_seconds{queue="deferred"}': "0", 'client_connections{port="25"}': "0",
        'postfix_queue_oldest_age_seconds{queue="active"}': "3600", "certificate_warning": "1",
        'agent_step_duration_seconds{step="join"}': "1.7", 'agent_step_wait_seconds{step="join"}': "0.5",
        "certificate_not_after_timestamp_seconds": "1773230400", 'collector_success{collector="clamd"}': "1",
        "collected_timestamp_seconds": "1772366400", 'collector_success{collector="queue"}': "1",
    }
    assert {name: found["mailimg_" + name] for name in expected} == expected
    # There is no official database, no keytab, and node and role have no other daemons.
    assert not [name for name in found if ("signatures_" in name and "clamd" not in name) or "keytab_" in name]
    assert not [name for name in found if "dovecot" in name or "nfsd" in name or "sogo" in name]


def test_a_daemon_that_does_not_answer_costs_its_own_figures(tmp_path: Path, said: List[str]) -> None:
    host = figures_machine(
        tmp_path, services=[service("clamd"), service("postfix")], facts__clamd={"socket": "/run/clamd.ctl"},
        health=[{"check": "unix", "path": "/run/clamd.ctl", "name": "clamd"}])
    host.answers = {"clamd": "no answer: Connection refused"}
    found = told(host, READY, said)
    assert said == ["clamd: [Errno 111] Connection refused"]
    assert found['mailimg_up{check="clamd"}'] == "0"
    assert found['mailimg_collector_success{collector="clamd"}'] == "0"
    assert found['mailimg_collector_success{collector="check_clamd"}'] == "1"
    assert not [name for name in found if name.startswith("mailimg_clamd_")]
    assert 'mailimg_postfix_queue_messages{queue="deferred"}' in found


class HangingHost(FiguresHost):
    """A machine whose checks never come back."""

    gate = threading.Event()

    def probe(self, check: Any, patience: float = 10.0) -> Any:
        self.gate.wait(30.0)
        return None


def test_what_hangs_is_down(tmp_path: Path, said: List[str]) -> None:
    figures_machine(tmp_path)
    host = HangingHost(tmp_path)
    try:
        found = collected(host, Clock(), said, 0.3)
    finally:
        host.gate.set()
    assert found['mailimg_up{check="smtp"}'] == "0"
    assert found['mailimg_up{check="clamd"}'] == "0"
    assert found['mailimg_collector_success{collector="check_smtp"}'] == "0"
    assert float(found['mailimg_collector_duration_seconds{collector="check_smtp"}']) >= 0.3
    assert found['mailimg_collector_success{collector="agent"}'] == "1"
    assert [one.split(" after")[0] for one in said] == [
        "check_clamd: no end", "check_smtp: no end", "clamd: role.json has no facts.clamd.socket"]


def test_a_defect_costs_its_own_figures(tmp_path: Path, said: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(_view: Any, samples: Any) -> None:
        samples.add("quarantine_messages", 1)
        samples.add("no_such_metric", 1)

    monkeypatch.setitem(collecting.EVERY, "defective", defective)
    traced = io.StringIO()
    monkeypatch.setattr(sys, "stderr", traced)
    # Python's own in place of pytest's; 3.6 has no such hook, and does the same without.
    monkeypatch.setattr(threading, "excepthook", getattr(threading, "__excepthook__", None), raising=False)
    found = collected(figures_machine(tmp_path), FakeClock(), said)
    for thread in threading.enumerate():
        if thread.name == "defective":
            thread.join()
    assert traced.getvalue().count("Traceback") == 1, "it is for the journal"
    assert found['mailimg_collector_success{collector="defective"}'] == "0"
    assert "mailimg_quarantine_messages" not in found
    assert found['mailimg_collector_success{collector="agent"}'] == "1"


def test_before_the_agent_ran(tmp_path: Path, said: List[str]) -> None:
    found = collected(figures_machine(tmp_path), FakeClock(), said)
    assert found['mailimg_agent_state{state="starting"}'] == "1"
    assert found['mailimg_service_active{service="postfix",unit="postfix@-.service"}'] == "0"


def test_services_that_the_site_does_not_want(tmp_path: Path, said: List[str]) -> None:
    host = figures_machine(
        tmp_path, services=[service("mariadb", without="database"), service("nginx", **{"with": "tls"})],
        files=[], health=[{"check": "https", "port": 443, "path": "/", "name": "https", "service": "nginx"}])
    found = told(host, dict(READY, services=[]), said)
    assert not [name for name in found if "mariadb" in name or "nginx" in name or "https" in name]
    found = told(host, dict(READY, services=["nginx"]), said)
    assert found['mailimg_up{check="https"}'] == "1"
    assert not [name for name in found if "mariadb" in name]


def test_webmail(tmp_path: Path, said: List[str], monkeypatch: pytest.MonkeyPatch) -> None:
    host = figures_machine(
        tmp_path, services=[service("memcached"), service("mariadb"), service("sogo")], files=[],
        facts__mariadb={"client": "/usr/bin/mariadb", "socket": "/run/mysqld/mysqld.sock"},
        health=[{"check": "tcp", "port": 11211, "name": "memcached"},
                {"check": "http", "port": 20000, "path": "/SOGo/", "name": "sogo"}])
    for number in range(4):
        host.process(20 + number, "sogo.service", "/usr/sbin/sogod")
    # 20000 is 4E20: a request that is served, and the port itself.
    host.path("/proc/net").mkdir(parents=True)
    host.path("/proc/net/tcp").write_text(
        "  sl  local_address rem_address   st\n   0: 0100007F:4E20 00000000:0000 0A\n"
        "   1: 0100007F:4E20 0100007F:9C40 01\n")
    host.answers_to = {11211: [MEMCACHED]}
    counters = {"Questions": 41, "Slow_queries": 1, "Threads_connected": 3}
    monkeypatch.setattr(host.mariadb, "figures", lambda *_: counters)
    found = told(host, READY, said)
    assert said == []
    assert {name: found["mailimg_" + name] for name in (
        'up{check="mariadb"}', "mariadb_connections", "mariadb_questions_total", "sogo_workers", "sogo_connections",
        "memcached_connections", 'memcached_gets_total{result="hit"}', "memcached_limit_bytes")} == {
        'up{check="mariadb"}': "1", "mariadb_connections": "3", "mariadb_questions_total": "41", "sogo_workers": "3",
        "sogo_connections": "1", "memcached_connections": "3", 'memcached_gets_total{result="hit"}': "5",
        "memcached_limit_bytes": "268435456"}

    def away(*_: Any) -> Dict[str, int]:
        raise StepError("ask the database for its figures: no end after 5 s")

    monkeypatch.setattr(host.mariadb, "figures", away)
    host.answers_to = {11211: [MEMCACHED]}
    found = told(host, READY, said)
    assert found['mailimg_up{check="mariadb"}'] == "0"
    assert said == ["mariadb: ask the database for its figures: no end after 5 s"]


def test_mailboxes(tmp_path: Path, said: List[str]) -> None:
    host = figures_machine(
        tmp_path, services=[service("dovecot")], files=[], health=[], site=["storage"],
        mount={"path": "/MAILBOXES", "site": "storage", "owner": 5000, "group": 5000, "folders": 0})
    host.path("/MAILBOXES").mkdir()
    host.prints = {"doveadm": WHO}
    status = dict(READY, storage={"server": "nfs.example.org", "export": "/NFSVOL", "version": "4.2"})
    assert told(host, status, said)['mailimg_mount_right{path="/MAILBOXES"}'] == "0"
    mounted = "40 22 0:40 / /MAILBOXES rw shared:2 - nfs4 {} rw,vers=4.2,hard,proto=tcp\n"
    for source, right in (("nfs.example.org:/NFSVOL", "1"), ("old.example.org:/NFSVOL", "0")):
        host.path("/proc/self/mountinfo").write_text(mounted.format(source))
        found = told(host, status, said)
        assert found['mailimg_mount_right{path="/MAILBOXES"}'] == right
        assert float(found['mailimg_filesystem_size_bytes{place="mailboxes",path="/MAILBOXES"}']) > 0
    assert {name: value for name, value in found.items() if "dovecot_" in name} == {
        'mailimg_dovecot_sessions{service="imap"}': "2", 'mailimg_dovecot_sessions{service="pop3"}': "1",
        'mailimg_dovecot_sessions{service="sieve"}': "1", "mailimg_dovecot_users": "2"}
    assert said == []
    assert not [name for name in found if "anna" in name or "10.90" in name]


def test_a_storage_server(tmp_path: Path, said: List[str]) -> None:
    host = figures_machine(tmp_path, services=[service("nfs")], files=[], health=[],
                           volume={"mount": "/NFSVOL", "owner": 5000, "group": 5000, "mode": "0750"})
    found = told(host, READY, said)
    assert said == ["nfsd: /proc/fs/nfsd/threads is missing: the NFS server does not run"]
    assert found['mailimg_mount_right{path="/NFSVOL"}'] == "0"
    host.disks.plug()
    (link, device), *_ = host.disks.by_id().items()
    for path, text in {
        "/proc/fs/nfsd/threads": "64\n", "/proc/net/rpc/nfsd": NFSD,
        "/var/lib/nfs/etab": "/NFSVOL\t10.91.0.0/24(rw)\n/NFSVOL\tfd00:91::/64(rw)\n",
        "/etc/systemd/system/NFSVOL.mount": "[Mount]\nWhat=/dev/disk/by-id/{}\nWhere=/NFSVOL\n".format(link),
        "/proc/self/mounts": "{} /NFSVOL ext4 rw 0 0\n".format(device), "/NFSVOL/x": "",
    }.items():
        host.write(path, text.encode())
    found = told(host, READY, said)
    assert {name: value for name, value in found.items() if "nfsd_" in name or "mount_" in name} == {
        "mailimg_nfsd_threads": "64", "mailimg_nfsd_exports": "2", "mailimg_nfsd_calls_total": "97",
        "mailimg_nfsd_bad_calls_total": "2", 'mailimg_mount_right{path="/NFSVOL"}': "1"}
    host.write("/proc/self/mounts", b"/dev/other /NFSVOL ext4 rw 0 0\n")
    assert told(host, READY, said)['mailimg_mount_right{path="/NFSVOL"}'] == "0"


def test_a_run_of_the_agent_tells_what_the_site_wants(tmp_path: Path) -> None:
    host = machine(tmp_path, store=True)
    goal = work(host, with_keys(SITE, **STORED_KEYS))
    assert goal.services() == ["mariadb", "clamd", "postfix"]
    storage = goal.site["storage"]
    assert engine.storage_status(goal) == {
        "server": storage["server"], "export": storage["export"], "version": storage["version"]}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FiguresHost:
    host = figures_machine(tmp_path)
    monkeypatch.setattr(cli, "Host", lambda: host)
    monkeypatch.setattr(cli, "Clock", FakeClock)
    return host


def test_the_command(command: FiguresHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["apply"]) == 0
    assert (read_status(command) or {})["services"] == ["clamd", "postfix"]
    capsys.readouterr()
    assert cli.main(["metrics"]) == 0
    assert 'mailimg_up{check="smtp"} 1\n' in capsys.readouterr().out
    assert cli.main(["metrics", "--output", FOLDER]) == 0
    assert capsys.readouterr().out == ""
    assert b'mailimg_agent_state{state="ready"} 1\n' in (command.read(FOLDER) or b"")
    assert command.path(FOLDER).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in command.path(FOLDER).parent.iterdir()] == ["mailimg.prom"]


def test_without_role_json(command: FiguresHost, capsys: pytest.CaptureFixture[str]) -> None:
    for content, words in ((b"{}", "role.json: not as the builder"), (None, "/etc/mailimg/role.json: missing")):
        command.remove("/etc/mailimg/role.json")
        if content is not None:
            command.write("/etc/mailimg/role.json", content)
        assert cli.main(["metrics"]) == 2
        assert words in capsys.readouterr().err
