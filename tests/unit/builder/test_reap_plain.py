"""What is a leftover of ours, and what of the directory must be known; no cloud, no directory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailimg.errors import InputError
from mailimg.reap import directory, leftovers
from mailimg.reap.instances import DELETED, UNKNOWN
from mailimg.reap.leftovers import MEMBER, Leftover, due, owner
from mailimg.resources import installed

ONE, TWO = "5f0c5a0e-3f4e-4d0e-9a53-000000000001", "5f0c5a0e-3f4e-4d0e-9a53-000000000002"
SITE: dict[str, Any] = {
    "directory": {"urls": ["ldap://dc1.example.org", "ldap://dc2.example.org"], "ca": "system"},
    "join": {"realm": "ad.example.org", "ou": "OU=mail,DC=ad,DC=example,DC=org", "user": "svc-join"},
}


@pytest.mark.parametrize(("texts", "named"), [
    ({"description": [f"mailimg smtp-in, instance {ONE}"]}, ONE),
    ({"info": [f"mailimg pop-imap-lda, instance {ONE}"], "description": ["a preset account"]}, ONE),
    ({"description": [f"instance {ONE}"]}, ""),
    ({"description": [f"mailimg smtp-in, instance {ONE} no more"]}, ""),
    ({"description": [f"copy of mailimg smtp-in, instance {ONE}"]}, ""),
    ({"description": [f"mailimg smtp-in, instance {ONE[:-1]}"]}, ""),
    ({"description": [f"mailimg smtp-in, instance {ONE}"], "info": [f"mailimg smtp-in, instance {TWO}"]}, ""),
    ({}, ""),
])
def test_an_account_is_ours_by_the_agents_own_words_only(texts: dict[str, list[str]], named: str) -> None:
    assert owner(texts) == named


@pytest.mark.parametrize("name", [f"mailimg-{ONE}-2", f"x-mailimg-{ONE}", "mailimg-smtp-in", ONE, "",
                                  "mailimg-10.0.0.7", f"mailimg-{ONE[:-1]}"])
def test_a_member_of_another_name_is_not_ours(name: str) -> None:
    assert MEMBER.fullmatch(name) is None
    assert MEMBER.fullmatch(f"mailimg-{ONE}")


def test_what_nova_knows_nothing_of_stays_unless_it_is_wanted() -> None:
    known = Leftover("member", "a", ONE, DELETED, lambda: None)
    doubtful = Leftover("member", "b", TWO, UNKNOWN, lambda: None)
    assert due([known, doubtful], forgotten=False) == [known]
    assert due([known, doubtful], forgotten=True) == [known, doubtful]
    assert leftovers.described(known) == {"kind": "member", "what": "a", "instance": ONE, "server": "deleted"}


def test_the_directory_of_a_site() -> None:
    found = directory.of_site(SITE, None, b"x")
    assert (found.login, found.base) == ("svc-join@AD.EXAMPLE.ORG", "OU=mail,DC=ad,DC=example,DC=org")
    assert found.urls == ("ldap://dc1.example.org", "ldap://dc2.example.org")
    assert directory.of_site(SITE, "CN=admin,DC=ad", b"x").login == "CN=admin,DC=ad"
    assert directory.of_site(SITE, "admin@other.example", b"x").login == "admin@other.example"


def test_everything_that_the_site_lacks_at_once() -> None:
    with pytest.raises(InputError) as caught:
        directory.of_site({"directory": {"urls": "ldap://x", "tls": "none"}, "join": []}, None, None)
    places = [problem.partition(":")[0] for problem in caught.value.problems]
    assert places == ["join.realm", "directory.urls", "directory.ca", "join.ou", "join.user", "join.password",
                      "directory.tls"]


@pytest.mark.parametrize(("urls", "wanted"), [
    (["ldaps://dc1.example.org", "ldap://dc2.example.org"],
     "directory.urls: ldap:// and ldaps:// are mixed; give one kind"),
    (["ldap://dc1.example.org", "ldaps://dc2.example.org"],
     "directory.urls: ldap:// and ldaps:// are mixed; give one kind"),
    (["ldaps://dc1.example.org ldap://dc2.example.org"],
     "directory.urls[0]: 'ldaps://dc1.example.org ldap://dc2.example.org' is no ldap:// or ldaps:// URL of a server"),
    (["ldaps://dc1.example.org", "LDAP://dc2.example.org"],
     "directory.urls[1]: 'LDAP://dc2.example.org' is no ldap:// or ldaps:// URL of a server"),
    (["ldaps://dc1.example.org", 389], "directory.urls[1]: 389 is no ldap:// or ldaps:// URL of a server"),
])
def test_no_url_gets_the_password_without_tls_because_another_has_tls(urls: list[Any], wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        directory.of_site({**SITE, "directory": {"urls": urls, "ca": "system"}}, None, b"x")
    assert list(caught.value.problems) == [wanted]


def test_urls_are_what_the_agent_takes() -> None:
    schema = json.loads((installed().firstboot / "mailimg_firstboot" / "site.schema.json").read_text(encoding="utf-8"))
    assert schema["definitions"]["ldap_url"]["pattern"] == directory.URL.pattern


def test_ldif_is_read_in_base64_too() -> None:
    text = "dn:: Q049w7wsREM9eA==\nsAMAccountName: A$\ndescription: one\n\n# pagedresults: cookie=\n\ndn: CN=b\n"
    assert directory.entries(text) == [
        {"dn": ["CN=ü,DC=x"], "samaccountname": ["A$"], "description": ["one"]}, {"dn": ["CN=b"]}]
