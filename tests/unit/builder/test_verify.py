"""The pure parts of the verification: what the peers and the node are given, and how results are read and shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console as Terminal

from mailimg.clients import letters
from mailimg.errors import InputError, StepError
from mailimg.machines import machine, network, node, seed
from mailimg.machines.console import Console
from mailimg.peers import addresses as at
from mailimg.peers import directory, names
from mailimg.peers.authority import Certificate
from mailimg.peers.sink import Envelope
from mailimg.verify import report, scenarios
from mailimg.verify.scenarios import mx
from mailimg.verify.values import CheckResult, Request, RoleView, VerifyResult

ROLE = RoleView("smtp-in", (22, 25), ("mx",))


def test_a_config_drive_has_the_files_of_nova_and_is_for_root_only(tmp_path: Path) -> None:
    site = seed.site_document("smtp-in", "secret", "PEM", {"amavis_workers": 2})
    seed.write(tmp_path / "seed", site, "ssh-ed25519 AAAA verify")
    latest = tmp_path / "seed/openstack/latest"
    assert sorted(path.name for path in latest.iterdir()) == [
        "meta_data.json", "network_data.json", "user_data", "vendor_data.json"]
    assert (tmp_path / "seed").stat().st_mode & 0o077 == 0
    meta = json.loads((latest / "meta_data.json").read_text())
    assert (meta["uuid"], meta["hostname"], meta["public_keys"]) == (
        at.INSTANCE, at.NODE_NAME, {"verify": "ssh-ed25519 AAAA verify"})
    text = (latest / "user_data").read_text()
    assert text.startswith("mailimg: 1\n")
    assert yaml.safe_load(text) == site


def test_the_site_document_protects_the_directory_and_names_the_role() -> None:
    site = seed.site_document("smtp-in", "secret", "PEM", {})
    assert site["directory"]["tls"] == "starttls"
    assert site["directory"]["bind_password"] == "literal:secret"
    assert (site["role"], site["tuning"]) == ("smtp-in", {})


def test_the_node_gets_fixed_addresses_and_default_routes_of_both_families() -> None:
    data = seed.network_data()
    (card,) = data["links"]
    assert card["ethernet_mac_address"] == at.NODE_MAC
    assert [(net["link"], net["ip_address"], net["routes"][0]["gateway"]) for net in data["networks"]] == [
        (card["id"], at.NODE4, at.HOST4), (card["id"], at.NODE6, at.HOST6)]


def test_senders_stand_outside_the_server_network() -> None:
    told = [" ".join(command) for command in network.commands("qemu")]
    assert f"ip addr add {at.SENDER4}/32 dev mailimg0" in told
    assert not at.SENDER4.startswith("10.90.0.")
    assert "ip tuntap add node0 mode tap" in told
    assert f"ip link add mailimg0 address {at.HOST_MAC} type bridge forward_delay 0" in told
    assert any("veth peer name eth0 address" in " ".join(command) for command in network.commands("nspawn"))


def test_dnsmasq_forwards_nothing_and_knows_the_senders(tmp_path: Path) -> None:
    lines = names.config(tmp_path / "log").splitlines()
    assert {"no-resolv", "local=/#/"} <= set(lines)
    assert f'txt-record={at.FORGED_DOMAIN},"v=spf1 -all"' in lines
    assert f"mx-host={at.SENDER_DOMAIN},{at.SENDER_NAME},10" in lines


def test_slapd_binds_under_tls_only(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path / "a.pem", tmp_path / "a.key", "")
    text = directory.config(tmp_path, Path("/schemas"), Path("/modules"), certificate, tmp_path / "ca.pem")
    lines = text.splitlines()
    assert {"security simple_bind=1", "allow bind_anon_dn"} <= set(lines)
    assert "include /schemas/cosine.schema" in lines
    assert "access to attrs=userPassword by anonymous auth by * none" in lines


def test_the_directory_has_users_lists_and_quotas() -> None:
    text = directory.ldif(directory.USERS, directory.GROUPS, "pw")
    entries = {entry.splitlines()[0]: entry.splitlines() for entry in text.strip().split("\n\n")}
    anna = entries[f"dn: cn=anna,ou=people,{at.BASE_DN}"]
    assert {"objectClass: user", "sAMAccountName: anna", f"mail: anna@{at.DOMAIN}", "info: 1073741824"} <= set(anna)
    team = entries[f"dn: cn=team,ou=people,{at.BASE_DN}"]
    assert [line for line in team if line.startswith("member: ")] == [
        f"member: {directory.user_dn('anna')}", f"member: {directory.user_dn('bela')}"]


def test_the_clean_letter_tempts_relays_within_the_limits_of_smtp() -> None:
    body = letters.clean("a@example.org").body
    assert any(byte > 127 for byte in body)
    assert max(map(len, body.split(b"\r\n"))) == letters.LINE
    assert b"\r\n.\r\n" in body
    assert b"\n" not in body.replace(b"\r\n", b"")


def test_test_strings_are_the_published_ones_and_not_in_the_source() -> None:
    assert (len(letters.EICAR), len(letters.GTUBE)) == (68, 68)
    source = Path(letters.__file__).read_text()
    assert letters.EICAR not in source
    assert letters.GTUBE not in source
    assert letters.GTUBE.encode() in letters.spam("a@example.org").body


def test_each_letter_has_its_own_message_id() -> None:
    assert letters.spam("a@b.example").message_id != letters.spam("a@b.example").message_id


def test_an_envelope_reads_its_head_and_body() -> None:
    got = Envelope("s", ("r",), b"X-Spam-Score: 1\r\nMessage-ID: <1@x>\r\n\r\nline\r\n\r\nend\r\n")
    assert got.head["x-spam-score"] == "1"
    assert got.body == b"line\r\n\r\nend\r\n"


def test_listeners_are_read_from_both_families_once() -> None:
    text = ("State Recv-Q Send-Q Local Address:Port Peer Address:Port\n"
            "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\nLISTEN 0 128 [::]:22 [::]:*\n"
            "LISTEN 0 100 127.0.0.1:10025 0.0.0.0:*\nLISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:*\n")
    assert node.parse_listeners(text) == (22, 53, 10025)


@pytest.mark.parametrize(
    ("wanted", "flags", "usable", "expected"),
    [("auto", "fpu vmx", True, "kvm"), ("auto", "fpu hypervisor", True, "tcg"), ("auto", "fpu", False, "tcg"),
     ("kvm", "fpu hypervisor", True, "kvm"), ("tcg", "fpu", True, "tcg")],
)
def test_acceleration(wanted: str, flags: str, usable: bool, expected: str) -> None:
    assert machine.acceleration(wanted, f"flags\t\t: {flags}\n", usable) == expected


def test_acceleration_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="/dev/kvm cannot be opened"):
        machine.acceleration("kvm", "", False)


def console(tmp_path: Path, text: str) -> tuple[Console, list[str]]:
    """A console that has shown `text`."""
    path = tmp_path / "console"
    path.write_text(text)
    lines: list[str] = []
    followed = Console(path, lines.append, clock=lambda: 7.0)
    followed.read()
    return followed, lines


def test_the_console_tells_phases_and_the_agents_words(tmp_path: Path) -> None:
    followed, lines = console(
        tmp_path,
        "Welcome to GRUB!\r\n[    0.0] Linux version 6.1.0\r\nWelcome to \x1b[1mDebian\x1b[0m\r\n"
        "[  OK  ] Reached target network-online.target - Network is Online.\r\n"
        "echo 'not mailimg: ready'\r\nnode-1 login: mailimg: hostname: done\r\n[   12.5] mailimg: ready smtp-in\r\n",
    )
    assert list(followed.phases) == ["kernel", "init", "network", "agent", "ready"]
    assert followed.verdict == "ready smtp-in"
    assert "    0.0 s  agent: hostname: done" in lines


def test_a_half_line_waits_for_its_end(tmp_path: Path) -> None:
    followed, _ = console(tmp_path, "mailimg: FAI")
    assert followed.verdict == ""
    with followed.path.open("a") as file:
        file.write("LED at services\n")
    followed.read()
    assert followed.verdict == "FAILED at services"


def test_a_dead_system_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="Kernel panic - not syncing: VFS"):
        console(tmp_path, "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n")


def test_moving_stars_do_not_fill_the_tail(tmp_path: Path) -> None:
    stars = "".join(f"[ ***  ] Job wait-online.service/start running ({n}s / no limit)\n" for n in range(50))
    followed, _ = console(tmp_path, "before\n" + stars + "after\n")
    assert [line[:6] for line in followed.tail()] == ["before", "[ *** ", "after"]


RESULT = VerifyResult("smtp-in", "nspawn", {"init": 0.25}, (CheckResult("one", True, 0.04, "fine"),
                                                            CheckResult("two", False, 1.0, "[red]no\nmore")))


def test_results_survive_json_and_fail_with_any_check() -> None:
    assert VerifyResult.from_dict(json.loads(json.dumps(RESULT.to_dict()))).to_dict() == RESULT.to_dict()
    assert not RESULT.ok
    assert not VerifyResult("smtp-in", "nspawn", {}, ()).ok


def test_requests_survive_json() -> None:
    request = Request(ROLE, "qemu", "/image", "/scratch", firmware="uefi")
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_the_table_shows_what_a_daemon_said_as_it_said_it() -> None:
    out = io.StringIO()
    Terminal(file=out, width=100).print(report.result_table(RESULT))
    assert "smtp-in by nspawn: NOT proved" in out.getvalue()
    assert "[red]no" in out.getvalue()
    assert report.check_line(RESULT.checks[1]) == "    1.0 s  FAILED two: [red]no"
    assert report.phase_line(RESULT) == "init 0.2 s"


def test_scenarios_are_found_by_name() -> None:
    assert scenarios.find("mx").TUNING == mx.TUNING
    for wrong in ("nothing", "../mx", "mx.py"):
        with pytest.raises(InputError, match="there is no scenario"):
            scenarios.find(wrong)


def test_the_first_difference_of_two_bodies_is_named() -> None:
    assert mx.first_difference(b"a\r\nb\r\n", b"a\r\nc\r\n").startswith("line 2: sent b'b'")
    assert mx.first_difference(b"a", b"a\r\nb") == "sent 1 lines, got 2"
