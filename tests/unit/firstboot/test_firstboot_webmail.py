"""What the webmail and storage roles brought: site keys, services that a site may do without, values of sogo.conf."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_machine import ROLE, SITE, machine, role, storing, with_keys, work

from mailimg_firstboot import rendering, rolefile, site
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.steps import health, services

VIPS = {"smtp_out": {"host": "smtp.example.org"}, "imap": {"host": "imap.example.org"},
        "sieve": {"host": "imap.example.org"}, "delivery": {"host": "delivery.example.org"}}
WITH_TLS = {**ROLE, "services": [ROLE["services"][0], {**ROLE["services"][1], "with": "tls"}],
            "health": [ROLE["health"][0], {"check": "https", "port": 443, "path": "/x/", "name": "https",
                                           "service": "postfix"}]}
TLS = {"certificate": "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n",
       "key": "literal:-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----\n"}


def problems(**paths: Any) -> List[str]:
    return refused(with_keys(SITE, **paths), role())


def refused(document: Dict[str, Any], mine: rolefile.RoleFile) -> List[str]:
    try:
        site.load(document, mine)
    except DocumentError as error:
        return list(error.problems)
    return []


def test_defaults() -> None:
    full = site.load(with_keys(SITE, vips=VIPS, database={"host": "db", "user": "sogo", "password": "literal:x"}),
                     role())
    assert full["vips"]["smtp_out"] == {"host": "smtp.example.org", "port": 587, "tls": "starttls"}
    assert full["vips"]["imap"] == {"host": "imap.example.org", "port": 143, "tls": "starttls"}
    assert full["vips"]["sieve"] == {"host": "imap.example.org", "port": 4190, "tls": "starttls"}
    assert full["vips"]["ca"] == "system"
    assert full["webmail"] == {"title": "Webmail", "time_zone": "UTC", "language": "English"}
    assert (full["database"]["port"], full["database"]["name"]) == (3306, "sogo")
    assert "tls" not in full


@pytest.mark.parametrize(("paths", "wanted"), [
    ({"vips": {"imap": VIPS["imap"]}}, "site: vips.delivery: missing; role smtp-in cannot serve without it"),
    ({"vips": with_keys(VIPS, sieve__host="10.0.0.9")},
     "site: vips.sieve.host: an address; TLS needs the name that stands in its certificate"),
    ({"vips": with_keys(VIPS, imap__tls="ssl")},
     'site: vips.imap.tls: "ssl" is not one of "starttls", "implicit", "none"'),
    ({"webmail__title": 'A "mail"'},
     'site: webmail.title: "A \\"mail\\"" is not one line of text without quotes, backslashes and blanks at its ends, '
     "60 characters at most"),
    ({"webmail__time_zone": "Europe/../x"},
     'site: webmail.time_zone: "Europe/../x" is not a time zone such as Europe/Vienna'),
    ({"volume": {"serial": "vd*"}}, 'site: volume.serial: "vd*" is not a disk\'s serial number'),
    ({"database": {"host": "db", "user": "so`go", "password": "literal:x"}},
     'site: database.user: "so`go" is not a name of letters, digits and underscores'),
])
def test_words(paths: Dict[str, Any], wanted: str) -> None:
    assert problems(**paths) == [wanted]


@pytest.mark.parametrize("title", ["Post für alle", "Mail", "x", "Mail (intern) #1; {}"])
def test_titles(title: str) -> None:
    assert problems(webmail__title=title) == []


@pytest.mark.parametrize(("value", "wanted"), [
    ("plain", '"plain"'),
    ('a"b\\c', '"a\\"b\\\\c"'),
    ("Söhne", '"S\\U00f6hne"'),
    ("\U0001f4e7", '"\\Ud83d\\Udce7"'),
    ("$x; }", '"$x; }"'),
])
def test_plist(value: str, wanted: str) -> None:
    assert rendering.plist(value) == wanted
    rendering.plist(value).encode("ascii")


def test_plist_lets_no_line_through() -> None:
    with pytest.raises(ValueError, match="plist: a control character"):
        rendering.plist('x";\n SOGoSuperUsernames = ("me')


def test_a_service_that_a_site_may_do_without(tmp_path: Path) -> None:
    host = machine(tmp_path)
    host.path("/etc/mailimg/role.json").write_text(json.dumps(WITH_TLS))
    host.answers = {"https": "no answer"}
    without, with_it = work(host), work(host, with_keys(SITE, tls=TLS))
    services.apply(host, without)
    assert "postfix@-.service" not in host.systemd.running
    assert services.check(host, without) is None
    assert health.check(host, without) is None
    services.apply(host, with_it)
    assert "postfix@-.service" in host.systemd.running
    assert health.check(host, with_it) == "https (https 127.0.0.1:443): no answer"
    assert "the site document has no use for it" in (services.check(host, without) or "")
    services.apply(host, without)
    assert "postfix@-.service" not in host.systemd.running


def test_role_file_with_a_store() -> None:
    found = rolefile.load(json.dumps(storing(ROLE)).encode())
    assert found.databases == [rolefile.Database("sogo", "mariadb", "sogo")]
    assert found.volume == rolefile.Volume("/NFSVOL", 5000, 5000, 0o750)
    assert role().databases == []
    assert role().volume is None


@pytest.mark.parametrize(("changes", "problem"), [
    ({"databases": [{"name": "x", "service": "mysql", "account": "x"}]},
     "role.json: databases[0].service: mysql is no service of the role; known here: clamd, postfix"),
    ({"health": [{"check": "http", "name": "x", "port": 80}]},
     "role.json: health[0]: http needs `port` and `path` and nothing else"),
    ({"health": [{"check": "tcp", "name": "x", "port": 80, "service": "clam"}]},
     "role.json: health[0].service: clam is no service of the role; do you mean `clamd`?"),
    ({"volume": {"mount": "/a/b", "owner": 1, "group": 1, "mode": "0750"}},
     'role.json: volume.mount: "/a/b" is not a folder of the root directory such as /NFSVOL'),
    ({"volume": {"mount": "/a", "owner": 0, "group": 1, "mode": "0750"}}, "role.json: volume.owner: 0 is less than 1"),
    ({"databases": [{"name": "a`b", "service": "clamd", "account": "x"}]},
     'role.json: databases[0].name: "a`b" is not a database\'s name'),
])
def test_wrong_role_files(changes: Dict[str, Any], problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        rolefile.load(json.dumps({**ROLE, **changes}).encode())
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(("tls", "level", "wanted"), [
    ("implicit", "", ["site: vips.smtp_out.tls: implicit, but Postfix of debian-12 reaches others by starttls only"]),
    ("implicit", "3.6", []),
    ("starttls", "", []),
    ("none", "", []),
])
def test_an_old_postfix_cannot_begin_with_tls(tls: str, level: str, wanted: List[str]) -> None:
    mine = role(site=["vips.smtp_out"], facts__postfix__compatibility_level=level)
    document = with_keys(SITE, vips=with_keys(VIPS, smtp_out__tls=tls))
    assert refused(document, mine) == wanted
    # Another role may share the document.
    assert refused(document, role(facts__postfix__compatibility_level=level)) == []


def test_an_address_without_tls() -> None:
    assert problems(vips=with_keys(VIPS, imap__host="10.0.0.9", imap__tls="none")) == []
