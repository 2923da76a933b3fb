"""The agent joins a real Active Directory domain controller (Samba), from a node booted by systemd, and leaves it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mailimg import process
from mailimg_firstboot.domain import ADCLI

pytestmark = pytest.mark.lab

JOINED = "mailimg smtp-in, instance "
CONNECT = "adcli: couldn't connect to ad.example.org domain: Couldn't authenticate as machine account: "


@pytest.fixture(scope="module")
def told(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `join_inside.py` saw; it runs once. The domain's state is kept beside the layers."""
    folder = tmp_path_factory.mktemp("join")
    command = [sys.executable, str(Path(__file__).with_name("join_inside.py")), str(folder), str(store_root / "peers")]
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = process.run(process.confine(command, network=True), what="join a domain", timeout=900, env=env)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    broken = {name: seen["broken"] for name, seen in answer.items() if "broken" in seen}
    assert not broken, "\n".join(f"{name}: {trace}" for name, trace in broken.items())
    return answer


def failed(seen: dict[str, Any]) -> tuple[str, str]:
    """Message and hint of a run that had to fail, in the step `join` and at its first attempt."""
    assert seen["status"] == 1
    assert seen["steps"].get("join", "failed") == "failed"
    assert seen["waits"] == []
    assert seen["programs"].count("kinit -c") <= 1
    return seen["message"], seen["hint"]


def test_the_domain_answers_who_looks_things_up(told: dict[str, Any]) -> None:
    seen = told["directory"]
    assert seen["srv"] == ["0 100 389 dc1.ad.example.org."]
    for case in ("starttls", "ldaps", "by address"):
        status, lines = seen[case]
        assert status == 0, lines
        assert {"mail: anna@example.org", "info: 1073741824", "mail: all@example.org",
                "member: CN=team,OU=people,DC=ad,DC=example,DC=org"} <= set(lines)
    # 8: strongerAuthRequired, as of a controller that asks for signing.
    assert seen["plain"][0] == 8


def test_an_instance_joins_at_boot(told: dict[str, Any]) -> None:
    seen = told["whole"]
    status = json.loads(seen["status"])
    assert status["state"] == "ready"
    step = next(one for one in status["steps"] if one["name"] == "join")
    assert (step["state"], step["attempts"]) == ("done", 1)
    assert step["message"] == f"not a member of AD.EXAMPLE.ORG (as {seen['name']})"
    account = seen["account"]
    assert account["dn"] == f"CN={seen['name']},OU=servers,DC=ad,DC=example,DC=org"
    assert account["description"] == JOINED + seen["uuid"]
    assert account["dNSHostName"] == f"{seen['name'].lower()}.ad.example.org"
    assert seen["modes"] == ["/etc/krb5.keytab 600 root", "/etc/sssd/sssd.conf 600 root", "/etc/krb5.conf 644 root"]
    assert not seen["tickets"], "tickets of the joining account stay on the disk"


def test_sssd_knows_users_and_nested_groups(told: dict[str, Any]) -> None:
    for part in ("(anna)", "(domain users)", "(team)", "(all)"):
        assert part in told["whole"]["anna"]


def test_the_same_instance_again_changes_nothing(told: dict[str, Any]) -> None:
    seen = told["whole"]
    assert seen["again"]["steps"]["join"] == "clean"
    assert "adcli join" not in seen["again"]["programs"]
    assert seen["account again"] == seen["account"]
    assert seen["check"]["found"] == []


def test_a_reboot_joins_nothing_anew(told: dict[str, Any]) -> None:
    seen = told["reboot"]
    assert seen["again"]["status"] == 0
    assert "adcli join" not in seen["again"]["programs"]
    assert seen["untouched"]


def test_an_instance_that_lost_its_key_takes_its_own_account_again(told: dict[str, Any]) -> None:
    seen = told["whole"]
    assert seen["key lost"]["steps"]["join"] == "done"
    assert seen["account key lost"]["dn"] == seen["account"]["dn"]
    assert seen["account key lost"]["pwdLastSet"] != seen["account"]["pwdLastSet"]


@pytest.mark.parametrize(("scenario", "key"), [("whole", "seen"), ("whole", "seen leaving"), ("preset", "seen")])
def test_no_secret_in_arguments_or_environments(told: dict[str, Any], scenario: str, key: str) -> None:
    seen = told[scenario][key]
    assert seen["looks"] > 50
    assert "kinit" in seen["programs"], "the look was not close enough to see the programs that get the secret"
    assert seen["shown"] == []


def test_no_secret_in_files_or_journal(told: dict[str, Any]) -> None:
    assert told["whole"]["found"] == []
    assert told["preset"]["found"] == []


def test_leaving_deletes_exactly_the_own_account(told: dict[str, Any]) -> None:
    seen = told["whole"]
    assert seen["leave"]["status"] == 0, seen["leave"]["message"]
    assert seen["left"] == {}
    assert seen["others"][0] == seen["others"][1]
    assert (seen["traces"], seen["sssd"]) == ([], "inactive")
    assert seen["leave again"]["status"] == 0
    assert "ldapmodify -Q" not in seen["leave again"]["programs"]


@pytest.mark.parametrize(("case", "message", "hint"), [
    ("wrong password", "kinit: Password incorrect while getting", "Correct join.password; each further try counts"),
    ("no such user", "kinit: Client 'svc-nobody@AD.EXAMPLE.ORG' not found in Kerberos database", "correct join.user."),
    ("no such ou", "ldap_add: No such object (32)", "Make the OU, or correct join.ou."),
    ("no right", "ldap_add: Insufficient access (50)", "Delegate to svc-join the right to create computer objects"),
    ("plain user", "ldap_add: Insufficient access (50)", "Delegate to nobody-special the right"),
    ("expired", "Password expired.  You must change it now.", "Give late a new password that does not expire."),
    ("disabled", "kinit: Client's credentials have been revoked", "late is disabled, locked or out of date"),
])
def test_refused_at_once_and_once_only(told: dict[str, Any], case: str, message: str, hint: str) -> None:
    words, next_step = failed(told["refused"][case])
    assert message in words
    assert hint in next_step


def test_nothing_is_left_of_refused_joins(told: dict[str, Any]) -> None:
    assert told["refused"]["computers"] == []


@pytest.mark.parametrize(("case", "whose"), [("another", "instance 99999999-aaaa"),
                                             ("nobody", "no instance that it names")])
def test_an_account_of_another_is_neither_taken_nor_deleted(told: dict[str, Any], case: str, whose: str) -> None:
    seen = told["collision"][case]
    message, hint = failed(seen["join"])
    assert message.startswith(f"the computer account {seen['name']} (CN={seen['name']},OU=servers,")
    assert f"belongs to {whose}, not to " in message
    assert hint.startswith("It is not taken over.")
    assert seen["leave"]["status"] == 0
    assert seen["untouched"]


def test_an_account_that_the_joiner_did_not_make(told: dict[str, Any]) -> None:
    seen = told["collision"]["not its maker"]
    message, hint = failed(seen["join"])
    assert "Cannot set computer password: Access denied" in message
    assert ADCLI[6][0] in message
    assert hint == ADCLI[6][1]
    assert "neither the computer itself nor svc-join may delete it" in seen["leave"]["message"]


def test_a_copied_disk_becomes_a_member_of_its_own(told: dict[str, Any]) -> None:
    seen = told["collision"]["copied disk"]
    assert seen["join"]["status"] == 0
    assert seen["second"]["dn"].startswith(f"CN={seen['name']},")
    principals = {line.split()[1] for line in seen["keys"].splitlines() if "@" in line}
    assert {one for one in principals if "$" in one} == {f"{seen['name']}$@AD.EXAMPLE.ORG"}
    assert seen["leave"]["status"] == 0
    assert seen["gone"] == {}
    assert seen["untouched"]


def test_a_preset_account_joins_by_its_one_time_password(told: dict[str, Any]) -> None:
    seen = told["preset"]
    assert seen["join"]["steps"]["join"] == "done"
    assert seen["account"]["info"] == JOINED + seen["uuid"]
    assert seen["again"]["steps"]["join"] == "clean"
    assert seen["preset again"]["status"] == 0


@pytest.mark.parametrize("case", ["wrong", "used"])
def test_a_wrong_or_used_one_time_password(told: dict[str, Any], case: str) -> None:
    message, hint = failed(told["preset"][case])
    assert message.endswith("kinit: Password incorrect while getting initial credentials")
    assert hint.startswith("The one-time password is wrong, or it was used already: delete and preset the account")


def test_an_account_that_is_preset_later_is_waited_for(told: dict[str, Any]) -> None:
    early = told["preset"]["not yet"]
    assert early["status"] == 1
    assert early["hint"].startswith("Preset it: `adcli preset-computer --domain=ad.example.org si-")
    late = told["preset"]["preset late"]
    assert late["status"] == 0
    assert all("not found in Kerberos database" in one for one in late["waits"])
    assert late["waits"]


def test_a_preset_computer_leaves_where_it_may(told: dict[str, Any]) -> None:
    seen = told["preset"]
    assert seen["leave"]["status"] == 0
    assert seen["left"] == {}
    assert seen["leave again"] | {"seconds": 0} == seen["leave again"] | {"seconds": 0, "status": 0, "message": ""}
    stuck = seen["may not leave"]
    assert stuck["status"] == 1
    assert "neither the computer itself nor any joining account may delete it" in stuck["message"]
    assert "Delete the account by hand" in stuck["hint"]
    assert seen["left by hand"]["status"] == 0
    assert not seen["keytab"]


@pytest.mark.parametrize("case", ["ahead", "behind"])
def test_a_skewed_clock_is_named_with_its_size(told: dict[str, Any], case: str) -> None:
    seen = told["clocks"][case]
    assert seen["status"] == 1
    of = "ahead of" if case == "ahead" else "behind"
    found = re.match(rf"the clock is (\d+) s {of} dc1\.ad\.example\.org's; Kerberos allows 300 s", seen["message"])
    assert found, seen["message"]
    assert abs(int(found.group(1)) - 3600) < 10
    assert "time.servers" in seen["hint"]
    assert "kinit -c" not in seen["programs"]


def test_a_clock_that_is_set_meanwhile_or_near_enough(told: dict[str, Any]) -> None:
    assert (told["clocks"]["near enough"]["status"], told["clocks"]["near enough"]["message"]) == (0, "")
    seen = told["clocks"]["set meanwhile"]
    assert seen["status"] == 0
    assert all("ahead of dc1.ad.example.org's" in one for one in seen["waits"])
    assert seen["waits"]


def test_controllers_by_list(told: dict[str, Any]) -> None:
    for case in ("listed", "first is dead"):
        seen = told["controllers"][case]
        assert seen["status"] == 0, seen["message"]
        assert "adcli info" not in seen["programs"], "DNS was asked"
        assert "(bela)" in seen["id"]
        assert "dns_lookup_kdc = false" in seen["krb5.conf"]
        assert told["controllers"]["leave " + case]["status"] == 0
    message, hint = failed(told["controllers"]["not of the realm"])
    assert message == "dc1.ad.example.org is no controller of other.example: it serves DC=ad,DC=example,DC=org"
    assert hint == "Correct join.realm or join.servers in the site document."


def test_a_controller_that_comes_back_is_waited_for(told: dict[str, Any]) -> None:
    seen = told["controllers"]["away"]
    assert seen["status"] == 0
    assert seen["seconds"] > 20
    assert len(seen["waits"]) >= 3
    assert all("no domain controller of ad.example.org" in one for one in seen["waits"])


def test_a_controller_that_stays_away(told: dict[str, Any]) -> None:
    seen = told["controllers"]["away for good"]
    assert seen["status"] == 1
    assert seen["message"].startswith("no domain controller of ad.example.org found: ")
    assert "(SRV)" in seen["hint"]
    # The account is there still, so leaving is not done and says so; later it is.
    assert told["controllers"]["away at leave"]["status"] == 1
    assert told["controllers"]["leave"]["status"] == 0


def test_a_killed_run_is_made_good_by_the_next(told: dict[str, Any]) -> None:
    seen = told["killed"]
    assert {one.split(" ", 1)[1] for one in seen["joins"]} >= {
        "kinit -c", "ldapmodify -Q", "adcli join", "systemctl restart"}
    for where, one in seen["joins"].items():
        assert one == {"first": -9, "second": [0, ""], "account": JOINED + seen["uuid"], "check": []}, where


def test_a_killed_leave_is_made_good_by_the_next(told: dict[str, Any]) -> None:
    seen = told["killed"]
    assert {one.split(" ", 1)[1] for one in seen["leaves"]} >= {"systemctl stop", "kinit -c", "ldapmodify -Q"}
    for where, one in seen["leaves"].items():
        assert one == {"first": -9, "second": [0, ""], "account": {}, "keytab": False, "tickets": False}, where
    assert seen["computers"] == []


@pytest.mark.parametrize(("case", "status", "words"), [
    ("no domain", 1, "adcli: couldn't discover domain: nowhere.example"),
    ("no option", 2, "join: unrecognized option '--nonsense'"),
    ("wrong password", 3, CONNECT + "CODES: Preauthentication failed"),
    ("no account", 3, CONNECT + "CODES3: Client 'CODES3$@AD.EXAMPLE.ORG' not found in Kerberos database"),
    ("twice", 5, "The computer account CODES already exists"),
    ("no right", 6, "Insufficient permissions to modify computer account"),
])
def test_exit_codes_of_adcli(told: dict[str, Any], case: str, status: int, words: str) -> None:
    code, said = told["codes"][case]
    assert code == status
    assert words in said
    assert code in ADCLI


def test_the_domain_is_made_once(told: dict[str, Any], store_root: Path) -> None:
    kept = list((store_root / "peers").iterdir())
    assert [path.name.partition("-")[0] for path in kept] == ["domain"] * len(kept)
    assert told["times"]["provision again"] < told["times"]["controller"] + told["times"]["node"]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o700}
