"""Shared storage: what is mounted and what is not, what the agent says of servers that do not want to."""

import os
import time
from pathlib import Path
from typing import Dict, Optional

import pytest
from firstboot_machine import ROLE, SITE, FakeHost, machine, with_keys, work
from firstboot_store import AWAY, PLACE, STORED_KEYS

from mailimg_firstboot import mounts, nfs, onstorage, rolefile
from mailimg_firstboot.errors import DocumentError, StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import MountPoint
from mailimg_firstboot.steps import health, storage
from mailimg_firstboot.work import Work

STORED = with_keys(SITE, **STORED_KEYS)
GOAL = nfs.Storage("nfs.example.org", "/NFSVOL", "3")
UNIT = "MAILBOXES.mount"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return machine(tmp_path, store=True)


@pytest.fixture
def goal(host: FakeHost) -> Work:
    return work(host, STORED)


def test_the_mount_point_is_closed_before_anything_is_mounted(host: FakeHost, goal: Work) -> None:
    assert storage.check(host, goal) == (
        "nothing is mounted at /MAILBOXES; the site key `storage` names nfs.example.org:/NFSVOL")
    host.nfs.away = AWAY
    with pytest.raises(TransientError, match="does not answer at port 2049"):
        storage.apply(host, goal)
    state = host.state(PLACE)
    assert state is not None
    assert (state.uid, state.gid, state.mode) == (0, 0, 0)
    assert host.read("/etc/systemd/system/" + UNIT) is None
    host.nfs.away = None
    storage.apply(host, goal)
    assert storage.check(host, goal) is None


@pytest.mark.parametrize(("version", "options"), [
    ("3", "vers=3,proto=tcp,hard,timeo=600,sec=sys,retry=0,nosuid,nodev,noexec,"
          "mountproto=tcp,nordirplus,rsize=32768,wsize=32768,nolock"),
    ("4.1", "vers=4.1,proto=tcp,hard,timeo=600,sec=sys,retry=0,nosuid,nodev,noexec"),
    ("4.2", "vers=4.2,proto=tcp,hard,timeo=600,sec=sys,retry=0,nosuid,nodev,noexec"),
])
def test_the_mount_unit(host: FakeHost, version: str, options: str) -> None:
    storage.apply(host, work(host, with_keys(STORED, storage__version=version)))
    lines = (host.read("/etc/systemd/system/" + UNIT) or b"").decode().splitlines()
    assert {"What=nfs.example.org:/NFSVOL", "Where=/MAILBOXES", "Type=nfs", "Options=" + options} <= set(lines)
    assert "Before=mariadb.service clamav-daemon.service postfix@-.service" in lines, "they end before it is unmounted"
    assert not any(line.startswith("WantedBy") for line in lines), "a boot never waits in mount(8)"


def test_a_lost_mount_is_mounted_again_and_nothing_else_is_done(host: FakeHost, goal: Work) -> None:
    storage.apply(host, goal)
    changes = len(host.fuse.changes)
    host.systemd.running.pop(UNIT)
    host.nfs.table(host.systemd.running)
    storage.apply(host, goal)
    assert host.fuse.changes[changes:] == ["start " + UNIT]


@pytest.mark.parametrize(("keys", "words"), [
    ({"storage__server": "other.example.org"},
     "nfs.example.org:/NFSVOL (nfs) is mounted at /MAILBOXES, not other.example.org:/NFSVOL"),
    ({"storage__export": "/OTHER"},
     "nfs.example.org:/NFSVOL (nfs) is mounted at /MAILBOXES, not nfs.example.org:/OTHER"),
    ({"storage__version": "4.2"}, "/MAILBOXES is mounted by NFS 3, not 4.2"),
])
def test_another_mount_is_replaced_if_nothing_uses_it(host: FakeHost, goal: Work, keys: Dict[str, str],
                                                      words: str) -> None:
    storage.apply(host, goal)
    other = work(host, with_keys(STORED, **keys))
    assert words in (storage.check(host, other) or "")
    storage.apply(host, other)
    assert storage.check(host, other) is None
    assert host.systemd.orders[-3:] == ["stop " + UNIT, "reread", "start " + UNIT]


def test_another_mount_that_is_in_use_stays(host: FakeHost, goal: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.apply(host, goal)
    monkeypatch.setattr(host.systemd, "stop", lambda unit: None)
    with pytest.raises(StepError, match=r"NFSVOL is still mounted at /MAILBOXES: something uses it") as caught:
        storage.apply(host, work(host, with_keys(STORED, storage__version="4.1")))
    assert "fuser -vm /MAILBOXES" in caught.value.hint


def test_a_stale_handle_is_mounted_anew_and_a_server_that_is_away_is_waited_for(host: FakeHost, goal: Work) -> None:
    storage.apply(host, goal)
    host.nfs.unfit = TransientError("look at /MAILBOXES: the storage server has not answered for 20 s")
    assert storage.check(host, goal) == host.nfs.unfit.message
    orders = list(host.systemd.orders)
    with pytest.raises(TransientError, match="has not answered"):
        storage.apply(host, goal)
    assert host.systemd.orders == orders, "a hard mount waits for its server"
    host.nfs.unfit = nfs.StaleError("look at /MAILBOXES: Stale file handle")
    with pytest.raises(TransientError, match="Stale"):
        storage.apply(host, goal)
    assert host.systemd.orders[len(orders):] == ["stop " + UNIT, "start " + UNIT]


@pytest.mark.parametrize(("said", "exported", "error", "words"), [
    ("mount.nfs: access denied by server while mounting nfs.example.org:/NFSVOL", ["/NFSVOL"], TransientError,
     "nfs.example.org exports it, but not to this instance"),
    ("mount.nfs: access denied by server while mounting nfs.example.org:/NFSVOL", ["/A", "/B"], TransientError,
     "nfs.example.org exports /A, /B"),
    ("mount.nfs: access denied by server while mounting nfs.example.org:/NFSVOL", [], TransientError,
     "nfs.example.org exports nothing"),
    ("mount.nfs: mounting nfs.example.org:/NFSVOL failed, reason given by server: No such file or directory", None,
     TransientError, "nfs.example.org exports something else"),
    ("mount.nfs: requested NFS version or transport protocol is not supported", ["/NFSVOL"], StepError,
     "storage server nfs.example.org does not speak this version"),
    ("mount.nfs: Protocol not supported", ["/NFSVOL"], StepError, "does not speak this version"),
    ("mount.nfs: Connection timed out", ["/NFSVOL"], TransientError, "mount.nfs: Connection timed out"),
    ("", ["/NFSVOL"], TransientError, "start MAILBOXES.mount: systemctl ended with status 1"),
])
def test_why_a_mount_failed(host: FakeHost, goal: Work, said: str, exported: Optional[list], error: type,
                            words: str) -> None:
    host.nfs.refuses, host.nfs.exported = said or " ", exported
    with pytest.raises(error) as caught:
        storage.apply(host, goal)
    assert caught.value.message.startswith("mount nfs.example.org:/NFSVOL by NFS 3: ") or not said
    assert words in caught.value.message or not said


def test_a_root_of_another_owner_is_refused(host: FakeHost, goal: Work) -> None:
    host.nfs.owner = (0, 0)
    with pytest.raises(StepError, match="belongs to 0:0, not to 5000:5000") as caught:
        storage.apply(host, goal)
    assert "chown 5000:5000" in caught.value.hint
    assert host.nfs.folders == set()
    assert "belongs to 0:0, not to 5000:5000" in (storage.check(host, goal) or "")


def test_missing_folders_are_a_difference(host: FakeHost, goal: Work) -> None:
    storage.apply(host, goal)
    host.nfs.folders.pop()
    assert storage.check(host, goal) == "1 of 16 folders are missing"


def test_a_container_is_given_its_mount(host: FakeHost, goal: Work) -> None:
    host.write("/run/systemd/container", b"systemd-nspawn\n")
    with pytest.raises(StepError, match="nothing is mounted at /MAILBOXES") as caught:
        storage.apply(host, goal)
    assert "whoever starts it mounts there" in caught.value.hint
    host.path(nfs.MOUNTINFO).write_text("40 22 0:40 / /MAILBOXES rw shared:2 - ext4 /dev/vda1 rw\n")
    storage.apply(host, goal)
    assert storage.check(host, goal) is None
    assert host.systemd.orders == []


def test_health_writes_where_mailboxes_are(host: FakeHost, goal: Work) -> None:
    goal.role.health.append(rolefile.HealthCheck("mount", "mailboxes", 0, PLACE, "storage"))
    assert health.check(host, goal) is None
    host.nfs.unfit = StepError("write to /MAILBOXES: Read-only file system")
    assert health.check(host, goal) == "mailboxes (mount /MAILBOXES): write to /MAILBOXES: Read-only file system"


TABLE = rb"""22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
36 22 0:33 / /with\040blank\134and\011tab rw master:1 propagate_from:2 - tmpfs tmpfs rw
no mount
40 22 0:40 / /MAILBOXES rw,nosuid - nfs a:/first rw,vers=3,addr=10.0.0.1
41 40 0:41 / /MAILBOXES rw,nosuid shared:2 - nfs4 b:/second\043 rw,vers=4.2,hard
"""


def test_the_table_of_mounts() -> None:
    parsed = mounts.parse(TABLE)
    assert [one.place for one in parsed] == ["/", "/with blank\\and\ttab", "/MAILBOXES", "/MAILBOXES"]
    last = mounts.at(TABLE, "/MAILBOXES")
    assert last == mounts.Mount("/MAILBOXES", "nfs4", "b:/second#",
                                {"rw": "", "nosuid": "", "vers": "4.2", "hard": ""})
    assert mounts.at(TABLE, "/MAIL") is None
    assert mounts.at(b"", "/") is None


@pytest.mark.parametrize(("count", "first", "last"), [(4096, "000", "fff"), (256, "00", "ff"), (16, "0", "f")])
def test_names_of_folders(count: int, first: str, last: str) -> None:
    found = onstorage.names(count)
    assert (len(set(found)), found[0], found[-1]) == (count, first, last)
    assert onstorage.names(0) == []


def entry(cursor: str, message: str) -> str:
    return '{{"__CURSOR": "{}", "MESSAGE": "{}"}}\n'.format(cursor, message)


def test_only_what_mount_said_since_then_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [entry("a", "mount.nfs: old words")]

    class Done:
        @property
        def out(self) -> bytes:
            return "".join(told).encode()

    seen = nfs.NFS(Host(str(tmp_path)).path, lambda *_args, **_words: Done())
    monkeypatch.setattr(nfs, "JOURNAL_LATE", 0.0)
    end = seen.journal_end(UNIT)
    assert end == "a"
    assert seen.said_since(UNIT, end) == ""
    told += [entry("b", "mount.nfs: new words"), entry("c", "MAILBOXES.mount: Mount process exited, code=exited")]
    assert seen.said_since(UNIT, end) == "mount.nfs: new words"


@pytest.mark.parametrize(("answer", "kind", "words"), [
    ('{"uid": 5000, "gid": 5000, "read_only": false, "missing": 3}', None, ""),
    ('{"errno": "ESTALE", "error": "Stale file handle"}', nfs.StaleError, "look at /MAILBOXES: Stale file handle"),
    ('{"errno": "EROFS", "error": "Read-only file system"}', StepError, "Read-only file system"),
    ("no end after 20 s", TransientError, "look at /MAILBOXES: the storage server has not answered for 20 s"),
    ("ended with status 1", StepError, "ended with status 1"),
])
def test_what_a_look_says(tmp_path: Path, answer: str, kind: Optional[type], words: str) -> None:
    class Done:
        out = answer.encode()

    def run(*_args: object, **_words: object) -> Done:
        if "{" not in answer:
            raise StepError(answer)
        return Done()

    seen = nfs.NFS(Host(str(tmp_path)).path, run)
    if kind is None:
        assert seen.look(PLACE, 5000, 5000, 16)["missing"] == 3
        return
    with pytest.raises(kind) as caught:
        seen.look(PLACE, 5000, 5000, 16)
    assert type(caught.value) is kind
    assert words in caught.value.message


@pytest.mark.parametrize(("mount", "words"), [
    ({"path": "/a/b", "site": "networks", "owner": 1, "group": 1}, "mount.path"),
    ({"path": "/a", "site": "networks", "owner": 0, "group": 1}, "mount.owner"),
    ({"path": "/a", "site": "networks", "owner": 1, "group": 1, "folders": 100}, "mount.folders"),
    ({"path": "/a", "site": "networks", "owner": 1, "group": 1, "indexes": "/a/../etc"}, "mount.indexes"),
    ({"path": "/a", "site": "storage", "owner": 1, "group": 1}, "mount.site: storage must be among the keys of `site`"),
])
def test_mount_of_role_json(mount: Dict[str, object], words: str) -> None:
    import json

    with pytest.raises(DocumentError) as caught:
        rolefile.load(json.dumps({**ROLE, "mount": mount}).encode())
    assert words in caught.value.problems[0]


def test_a_mount_needs_no_folders() -> None:
    import json

    role = rolefile.load(json.dumps(
        {**ROLE, "mount": {"path": "/a", "site": "networks", "owner": 1, "group": 1}}).encode())
    assert role.mount == MountPoint("/a", "networks", 1, 1, 0)


@pytest.mark.parametrize(("age", "holder"), [
    (onstorage.VOID_AFTER - 5, "other"), (onstorage.VOID_AFTER + 5, "me"),
    (5 - onstorage.VOID_AFTER, "other"), (-3600.0, "me"),
])
def test_a_lease_of_a_clock_that_was_set_back_is_void(age: float, holder: str, tmp_path: Path) -> None:
    lease = tmp_path / onstorage.LEASE
    lease.write_text("other")
    os.utime(lease, (time.time() - age, time.time() - age))
    assert onstorage.take(lease, "me") == holder
