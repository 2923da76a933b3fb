"""Membership of an Active Directory: names, files, words of programs, and whose account is whose."""

from pathlib import Path
from typing import Any, Dict

import pytest
from firstboot_domain import JOIN, JOINER_PASSWORD, FakeAccount, refused
from firstboot_fuse import Killed
from firstboot_machine import INSTANCE, SITE, FakeHost, machine, role, with_keys, work

from mailimg_firstboot import kerberos, ldapclient, membership, site
from mailimg_firstboot.domain import KEYTAB
from mailimg_firstboot.errors import DocumentError, StepError, TransientError
from mailimg_firstboot.kerberos import LoginError
from mailimg_firstboot.membership import Membership
from mailimg_firstboot.steps import join
from mailimg_firstboot.work import Work

ONCE = "only once 5"


def joining(host: FakeHost, **keys: Any) -> Work:
    """The goal of a run with `join`; a key that is None is left out."""
    wanted: Dict[str, Any] = {key: value for key, value in dict(JOIN, **keys).items() if value is not None}
    return work(host, with_keys(SITE, join=wanted))


def preset(host: FakeHost) -> Work:
    """The same with a one-time password."""
    return joining(host, user=None, password=None, one_time_password="literal:" + ONCE)


def member(goal: Work) -> Membership:
    me = membership.of(goal.site, goal.node)
    assert me is not None
    return me


@pytest.mark.parametrize(("name", "prefix"), [
    ("smtp-in", "SI"), ("smtp-out", "SO"), ("pop-imap-lda", "PIL"), ("sogo", "SOGO"), ("nfs", "NFS"),
    ("a-b-c-d-e", "ABCD"), ("webmail", "WEBM")])
def test_computer_name(name: str, prefix: str) -> None:
    # printf %s 5f0c5a0e-3f4e-4d0e-9a53-7a3f2a1b0c9d | sha256sum | cut -c 1-10
    made = membership.computer(name, INSTANCE)
    assert made == prefix + "-46D54FA151"
    assert len(made) <= 15


def test_computer_name_is_the_instances_alone() -> None:
    assert membership.computer("sogo", INSTANCE.upper()) == membership.computer("sogo", INSTANCE)
    assert membership.computer("sogo", INSTANCE[:-1] + "0") != membership.computer("sogo", INSTANCE)


@pytest.mark.parametrize(("text", "whose"), [
    ("mailimg smtp-in, instance " + INSTANCE, INSTANCE), ("instance " + INSTANCE, INSTANCE),
    ("preset for instance abc-1 ", "abc-1"), ("Mail server", None), ("instance", None), ("instances " + INSTANCE, None),
    ("instance a b", None)])
def test_mark(text: str, whose: Any) -> None:
    assert membership.marked(text) == whose


def test_files_are_rendered_for_members_only(tmp_path: Path) -> None:
    host = machine(tmp_path)
    assert not [one for one in work(host).files if one.service == "sssd"]
    files = {one.path: one for one in joining(host).files if one.service == "sssd"}
    assert sorted(files) == ["/etc/krb5.conf", "/etc/sssd/sssd.conf"]
    assert files["/etc/sssd/sssd.conf"].mode == 0o600
    sssd = files["/etc/sssd/sssd.conf"].content.decode()
    assert "ldap_sasl_authid = SI-46D54FA151$\n" in sssd
    assert "ad_hostname = si-46d54fa151.ad.example.org\n" in sssd
    assert "ldap_referrals = false\n" in sssd
    assert "ad_server" not in sssd
    assert "dns_lookup_kdc = true\n" in files["/etc/krb5.conf"].content.decode()
    assert not [one for one in files.values() if JOINER_PASSWORD.encode() in one.content]


def test_files_name_the_servers_of_the_site(tmp_path: Path) -> None:
    files = {one.path: one.content.decode()
             for one in joining(machine(tmp_path), servers=["dc2.ad.example.org", "dc1.ad.example.org"]).files}
    assert "ad_server = dc2.ad.example.org, dc1.ad.example.org\n" in files["/etc/sssd/sssd.conf"]
    kerberos = files["/etc/krb5.conf"]
    assert "dns_lookup_kdc = false\n" in kerberos
    assert kerberos.index("kdc = dc2") < kerberos.index("kdc = dc1")


@pytest.mark.parametrize(("keys", "words"), [
    ({"user": None, "password": None}, "site: join: give either user and password, or one_time_password"),
    ({"one_time_password": "file:/x"}, "site: join: give either user and password, or one_time_password"),
    ({"password": None}, "site: join.password: missing; join.user needs it"),
    ({"user": None, "one_time_password": "file:/x"}, "site: join.password: goes with join.user"),
    ({"ou": "OU=mail,DC=example,DC=org"},
     "site: join.ou: OU=mail,DC=example,DC=org is not below DC=ad,DC=example,DC=org"),
    ({"realm": "AD"}, 'site: join.realm: "AD" is not a domain such as example.org'),
    ({"servers": ["10.0.0.1"]}, 'site: join.servers[0]: "10.0.0.1" is not a DNS name such as cloud.example.org'),
    ({"password": "in the clear"}, "site: join.password: the value (not shown) is not a secret reference"),
    ({"user": "EXAMPLE\\svc"}, 'site: join.user: "EXAMPLE\\\\svc" is not a login'),
    ({"usr": "x"}, "site: join.usr: unknown key; do you mean `user`?"),
])
def test_wrong_documents(keys: Dict[str, Any], words: str) -> None:
    wanted = {key: value for key, value in dict(JOIN, **keys).items() if value is not None}
    with pytest.raises(DocumentError) as caught:
        site.load(with_keys(SITE, join=wanted), role())
    assert any(problem.startswith(words) for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("ou", ["ou=mail,dc=AD,dc=example,dc=org", "OU=a, DC=ad, DC=example , DC=org"])
def test_an_ou_may_be_written_as_people_write_it(ou: str) -> None:
    assert site.load(with_keys(SITE, join=dict(JOIN, ou=ou)), role())["join"]["ou"] == ou


def test_a_new_account_names_its_instance(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = joining(host)
    join.apply(host, goal)
    assert host.domain.state() == {"SI-46D54FA151$": (INSTANCE, "SI-46D54FA151$ 1")}
    assert host.read(KEYTAB) == b"SI-46D54FA151$ 1"
    assert host.systemd.orders == ["restart sssd.service"]


def test_an_own_account_is_joined_again_after_the_key_was_lost(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = joining(host)
    join.apply(host, goal)
    host.remove(KEYTAB)
    assert join.check(host, goal) == "not a member of AD.EXAMPLE.ORG (as SI-46D54FA151)"
    join.apply(host, goal)
    assert join.check(host, goal) is None
    assert len(host.domain.accounts) == 1


@pytest.mark.parametrize(("whose", "words"), [
    ("99-other", "belongs to instance 99-other, not to " + INSTANCE),
    (None, "belongs to no instance that it names, not to " + INSTANCE)])
def test_a_strange_account_is_left_alone(tmp_path: Path, whose: Any, words: str) -> None:
    host = machine(tmp_path)
    goal = joining(host)
    host.domain.accounts[member(goal).account] = FakeAccount(whose, "key of another")
    with pytest.raises(StepError) as caught:
        join.apply(host, goal)
    assert words in caught.value.message
    assert "It is not taken over." in caught.value.hint
    join.undo(host, goal)
    assert host.domain.state() == {member(goal).account: (whose, "key of another")}


def test_a_wrong_password_is_tried_once(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.domain.passwords["svc-join"] = "another"
    with pytest.raises(StepError, match="wrong password") as caught:
        join.apply(host, joining(host))
    assert not isinstance(caught.value, LoginError)
    assert caught.value.hint == "Correct join.password; each further try counts towards the lock-out of svc-join."
    assert host.domain.logins == ["svc-join"]
    assert JOINER_PASSWORD not in refused(caught.value)


def test_a_preset_account_is_marked(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = preset(host)
    host.domain.accounts[member(goal).account] = FakeAccount(None, ONCE)
    join.apply(host, goal)
    assert host.domain.accounts[member(goal).account].instance == INSTANCE
    assert join.check(host, goal) is None


def test_a_preset_account_that_names_another_is_refused(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = preset(host)
    host.domain.accounts[member(goal).account] = FakeAccount("99-other", ONCE)
    with pytest.raises(StepError, match="belongs to instance 99-other"):
        join.apply(host, goal)
    assert host.domain.joins == []


def test_a_preset_account_is_waited_for_but_not_its_password(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = preset(host)
    with pytest.raises(TransientError) as missing:
        join.apply(host, goal)
    assert missing.value.hint == (
        "Preset it: `adcli preset-computer --domain=ad.example.org si-46d54fa151.ad.example.org`.")
    host.domain.accounts[member(goal).account] = FakeAccount(None, "another word")
    with pytest.raises(StepError) as used:
        join.apply(host, goal)
    assert "or it was used already" in used.value.hint


def test_a_computer_that_may_not_leave_says_so_and_keeps_its_key(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = preset(host)
    host.domain.accounts[member(goal).account] = FakeAccount(None, ONCE)
    join.apply(host, goal)
    with pytest.raises(StepError, match="neither the computer itself nor any joining account may delete it"):
        join.undo(host, goal)
    assert host.domain.has_key()
    host.domain.may_leave = True
    join.undo(host, goal)
    assert host.domain.state() == {}
    assert not host.domain.has_key()
    before = list(host.domain.logins)
    join.undo(host, goal)
    assert host.domain.logins == before, "without key and joiner there is nobody to ask as"


def test_an_account_whose_key_was_changed_is_not_deleted(tmp_path: Path) -> None:
    host = machine(tmp_path)
    goal = preset(host)
    host.domain.accounts[member(goal).account] = FakeAccount(None, ONCE)
    join.apply(host, goal)
    host.domain.accounts[member(goal).account].key = "somebody's"
    with pytest.raises(StepError, match="cannot prove that the account is its own"):
        join.undo(host, goal)
    assert len(host.domain.accounts) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_was_killed_anywhere_is_made_good(tmp_path: Path, when: str) -> None:
    whole = machine(tmp_path / "whole")
    join.apply(whole, joining(whole))
    for number in range(len(whole.fuse.changes)):
        host = machine(tmp_path / str(number))
        goal = joining(host)
        host.fuse.blows = (number, when)
        with pytest.raises(Killed):
            join.apply(host, goal)
        host.fuse.blows, host.fuse.dead = None, False
        join.apply(host, goal)
        assert join.check(host, goal) is None
        assert [one.instance for one in host.domain.accounts.values()] == [INSTANCE]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_leave_that_was_killed_anywhere_is_made_good(tmp_path: Path, when: str) -> None:
    whole = machine(tmp_path / "whole")
    join.apply(whole, joining(whole))
    begun = len(whole.fuse.changes)
    join.undo(whole, joining(whole))
    assert len(whole.fuse.changes) > begun
    for number in range(begun, len(whole.fuse.changes)):
        host = machine(tmp_path / str(number))
        goal = joining(host)
        join.apply(host, goal)
        host.fuse.blows = (number, when)
        with pytest.raises(Killed):
            join.undo(host, goal)
        host.fuse.blows, host.fuse.dead = None, False
        join.undo(host, goal)
        assert host.domain.state() == {}
        assert not host.domain.has_key()


@pytest.mark.parametrize(("words", "kind"), [
    ("kinit: Client 'a$@R' not found in Kerberos database while getting initial credentials", kerberos.UNKNOWN),
    ("kinit: Preauthentication failed while getting initial credentials", kerberos.WRONG),
    ("kinit: Password incorrect while getting initial credentials", kerberos.WRONG),
    ("kinit: Client's credentials have been revoked while getting initial credentials", kerberos.DISABLED),
    ("kinit: Clients credentials have been revoked while getting initial credentials", kerberos.DISABLED),
    ("Password expired.  You must change it now.\nEnter new password: ", kerberos.EXPIRED),
    ("kinit: Keytab contains no suitable keys for A$@R while getting initial credentials", kerberos.NO_KEY),
    ("kinit: something new", ""),
])
def test_kerberos_words(words: str, kind: str) -> None:
    error = kerberos.error("log in as x", "Password for x: \n" + words)
    assert isinstance(error, LoginError)
    assert error.kind == kind
    assert error.message.startswith("log in as x: ")
    assert "Password for" not in error.message


@pytest.mark.parametrize("words", [
    "kinit: Cannot contact any KDC for realm 'R' while getting initial credentials",
    'kinit: Cannot find KDC for realm "R" while getting initial credentials',
    "kinit: Clock skew too great while getting initial credentials",
])
def test_kerberos_words_for_what_passes(words: str) -> None:
    assert isinstance(kerberos.error("log in", words), TransientError)


def test_ldif() -> None:
    text = ("dn: CN=a,DC=x\ndescription: one, instance 1\ninfo:: w6TDtg==\n\n# refldap://x/CN=Configuration\n\n"
            "dn:: Q049w6Q=\n\n")
    assert ldapclient.entries(text) == [
        {"dn": ["CN=a,DC=x"], "description": ["one, instance 1"], "info": ["äö"]}, {"dn": ["CN=ä"]}]
