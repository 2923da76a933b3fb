"""Which servers share the mailboxes: reports on the storage, ages by its clock, addresses, and what is none."""

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_doveadm import Doveadm
from firstboot_machine import INSTANCE, with_keys
from firstboot_sharing import ME, NETWORKS, OTHER, goal, participant, serving
from firstboot_store import SIBLINGS

from mailimg_firstboot import assignment, myself, onstorage, roster
from mailimg_firstboot.assignment import SLOTS
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.roster import BACK_AFTER, VOID_AFTER


def test_who_is_counted_on() -> None:
    found = {"fresh": ("10.0.0.7", 0.0), "late": ("10.0.0.8", VOID_AFTER), "silent": ("10.0.0.9", VOID_AFTER + 1),
             "set-back": ("10.0.0.10", -VOID_AFTER - 1), "stopped": ("", 0.0), "six": ("FD00:0::7", -3.0),
             "hostile": ("10.0.0.1 host=evil\n24/00", 0.0)}
    assert roster.alive(found, NETWORKS) == {"fresh": "10.0.0.7", "late": "10.0.0.8", "six": "fd00::7"}
    assert roster.alive(found, []) == {}


@pytest.mark.parametrize("text", [
    "::1%0 host=6.6.6.6 hostip=6.6.6.6 port=143\n", "fd00::7%eth0", "fd00::7%\ufffd", "6.6.6.6", "fd00:0:0:1::7",
    "10.0.0.7/24", "10.0.0.7\n", " 10.0.0.7", "\ufffd",
])
def test_what_is_no_address_of_the_site_names_no_server(text: str) -> None:
    assert roster.alive({"one": (text, 0.0)}, NETWORKS) == {}


@pytest.mark.parametrize("name", [b"\xff\xfe", b"new\nline", b"a b", "caf\u00e9".encode()])
def test_bytes_that_are_no_text_on_the_storage(name: bytes, tmp_path: Path) -> None:
    """Neither as a name nor in a file do they keep a server from reporting."""
    place = tmp_path / onstorage.ROSTER
    place.mkdir()
    (place / os.fsdecode(name)).write_text("10.0.0.8")
    (place / "two").write_bytes(b"fd00::7%" + name)
    (place / "folder").mkdir()
    told = json.loads(json.dumps(onstorage.report(tmp_path, "one", "10.0.0.7")))
    found = {one: (str(where), float(age)) for one, (where, age) in told["servers"].items()}
    assert set(found) == {"one", "two", os.fsdecode(name)}
    servers = roster.alive(found, NETWORKS)
    assert servers == {"one": "10.0.0.7"}
    assert assignment.owners(servers) == ["one"] * SLOTS


def test_an_address_outside_of_the_networks_is_told(tmp_path: Path) -> None:
    """The others would pass nobody on to it."""
    host = serving(tmp_path)
    mine = goal(host)
    with pytest.raises(StepError, match=r"10\.9\.9\.9 does not lie in the site's networks"):
        myself.me(mine._replace(site=with_keys(mine.site, balancer__address="10.9.9.9")))


def test_a_renewal_with_its_names_in_another_order_changes_nothing(tmp_path: Path) -> None:
    """The others may have the old certificate for a day; all of them cover what `tls.names` says."""
    host = serving(tmp_path)
    plain = goal(host)
    assert plain.certificate is not None
    wanted = plain._replace(site=with_keys(plain.site, tls__names=["imap.cloud.example.org"]))
    for names in (["a.example.org", "*.cloud.example.org"], ["imap.cloud.example.org", "a.example.org"]):
        seen = plain.certificate._replace(seen=plain.certificate.seen._replace(names=names))
        assert myself.me(wanted._replace(certificate=seen)).host == "imap.cloud.example.org"
        assert myself.me(plain._replace(certificate=seen)).host == names[0]


@pytest.mark.parametrize(("names", "host"), [
    (["imap.example.org", "*.example.org"], "imap.example.org"),
    (["*.example.org"], "mailbox-1.example.org"),
])
def test_a_name_that_the_certificate_covers(names: List[str], host: str) -> None:
    assert myself.covered(names, "mailbox-1") == host


def test_a_certificate_without_names_cannot_be_checked() -> None:
    with pytest.raises(StepError, match="has no DNS name"):
        myself.covered([], "mailbox-1")


@pytest.mark.parametrize("step_of_clock", [3600.0, -3600.0])
def test_a_step_of_the_storages_clock_moves_nobody(
    step_of_clock: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others' reports look an hour old, or an hour late, until they have reported again."""
    host = participant(tmp_path)
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    Doveadm(host, monkeypatch)
    assignment.refresh(host, goal(host).role, ME)
    table = host.read(SIBLINGS)
    for _ in range(2):
        host.nfs.roster[OTHER] = ("10.0.0.8", step_of_clock)
        assert assignment.refresh(host, goal(host).role, ME).servers == {}
        assert host.read(SIBLINGS) == table
        host.nfs.roster[OTHER] = ("10.0.0.8", 2.0)
        assert set(assignment.refresh(host, goal(host).role, ME).servers) == {INSTANCE, OTHER}
        assert host.read(SIBLINGS) == table


def test_the_last_of_the_others_falls_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Believed at the second look, for it may be a clock; a goodbye, or a daemon that does not answer, at once."""
    host = participant(tmp_path)
    Doveadm(host, monkeypatch)
    for address, age, doubted in (("10.0.0.8", VOID_AFTER + 1, True), ("", 0.0, False)):
        host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
        assignment.refresh(host, goal(host).role, ME)
        host.nfs.roster[OTHER] = (address, age)
        if doubted:
            assert assignment.refresh(host, goal(host).role, ME).servers == {}
        assert assignment.refresh(host, goal(host).role, ME).servers == {INSTANCE: (ME.address, SLOTS)}
        assert host.read(SIBLINGS) == b""
    host.nfs.roster[OTHER] = ("10.0.0.8", 10.0)
    assignment.refresh(host, goal(host).role, ME)
    del host.nfs.roster[OTHER]
    assert set(assignment.refresh(host, goal(host).role, ME).servers) == {INSTANCE}


def test_one_of_several_that_falls_silent_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = participant(tmp_path)
    Doveadm(host, monkeypatch)
    host.nfs.roster.update({OTHER: ("10.0.0.8", 10.0), "third": ("10.0.0.9", 10.0)})
    assignment.refresh(host, goal(host).role, ME)
    host.nfs.roster["third"] = ("10.0.0.9", VOID_AFTER + 1)
    assert set(assignment.refresh(host, goal(host).role, ME).servers) == {INSTANCE, OTHER}


def test_after_a_time_without_the_storage_the_others_have_their_time_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever looks first finds only old reports, of each of the others, or of one that is slower than another."""
    host = participant(tmp_path)
    doveadm = Doveadm(host, monkeypatch)
    host.nfs.roster.update({OTHER: ("10.0.0.8", 10.0), "third": ("10.0.0.9", 10.0)})
    assignment.refresh(host, goal(host).role, ME)
    table = host.read(SIBLINGS)
    doveadm.uptime += 300
    began = doveadm.uptime
    host.nfs.roster.update({OTHER: ("10.0.0.8", 300.0), "third": ("10.0.0.9", 300.0)})
    assert assignment.refresh(host, goal(host).role, ME).servers == {}
    host.nfs.roster[OTHER] = ("10.0.0.8", 2.0)
    while doveadm.uptime < began + BACK_AFTER:
        assert assignment.refresh(host, goal(host).role, ME).servers == {}
        assert host.read(SIBLINGS) == table
        doveadm.uptime += 15
    assert set(assignment.refresh(host, goal(host).role, ME).servers) == {INSTANCE, OTHER}


def test_the_roster_is_as_old_as_the_storage_says(tmp_path: Path) -> None:
    assert onstorage.report(tmp_path, "one", "10.0.0.7")["servers"] == {"one": ["10.0.0.7", 0.0]}
    roster = tmp_path / onstorage.ROSTER
    for name, age in (("two", 20.0), ("three", onstorage.FORGOTTEN + 60)):
        (roster / name).write_text("10.0.0.8")
        os.utime(roster / name, (time.time() - age, time.time() - age))
    found: Dict[str, Any] = onstorage.report(tmp_path, "one", "")["servers"]
    assert (found["one"], found["two"][0], set(found)) == (["", 0.0], "10.0.0.8", {"one", "two"})
    assert 19 < found["two"][1] < 30
    assert sorted(path.name for path in roster.iterdir()) == ["one", "two"], "who never said goodbye is forgotten"
    for _ in range(2):
        onstorage.retire(tmp_path, "one")
    assert [path.name for path in roster.iterdir()] == ["two"]
