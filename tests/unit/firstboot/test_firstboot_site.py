"""The site document's schema: what is taken, what is refused, and in which words."""

import json
import re
from typing import Any, Dict, Iterator, List, Tuple

import jsonschema
import pytest
from firstboot_machine import ROLE, SITE, role, with_keys

from mailimg_firstboot import schema, site
from mailimg_firstboot.errors import DocumentError

ROOT = schema.load("site.schema.json")

# What drafts 4 and 7 share; CentOS 7's validator knows only the former.
SHARED_WORDS = {
    "$schema", "$ref", "title", "description", "type", "enum", "pattern", "properties", "patternProperties",
    "additionalProperties", "required", "items", "minItems", "maxItems", "uniqueItems", "minimum", "maximum",
    "maxLength", "default", "definitions", "writeOnly", "moved", "oneOf",
}
PEM = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n"


def problems(document: Dict[str, Any]) -> List[str]:
    try:
        site.load(document, role())
    except DocumentError as error:
        return list(error.problems)
    return []


def nodes(node: Any, path: str = "") -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Every schema inside a schema."""
    yield path, node
    for word in ("properties", "patternProperties", "definitions"):
        for name, child in node.get(word, {}).items():
            yield from nodes(child, f"{path}/{word}/{name}")
    if "items" in node:
        yield from nodes(node["items"], path + "/items")


@pytest.mark.parametrize("name", ["site.schema.json", "role.schema.json"])
def test_schemas_hold_in_both_drafts(name: str) -> None:
    found = schema.load(name)
    jsonschema.Draft4Validator.check_schema(found)
    # EL7's jsonschema, with which these tests run too, ends with draft 4.
    if hasattr(jsonschema, "Draft7Validator"):
        jsonschema.Draft7Validator.check_schema(found)
    for path, node in nodes(found):
        assert set(node) <= SHARED_WORDS, path
        assert node.get("$ref", "#/definitions/x").startswith("#/definitions/"), path


def test_everything_is_described() -> None:
    for path, node in nodes(ROOT):
        if "/properties/" in path and "/definitions/" not in path and not path.endswith("/items"):
            assert node.get("description", "").endswith(".") or path.endswith("{0,63}$(?!\\n)"), path
    for name, node in ROOT["definitions"].items():
        assert node.get("title"), name


def test_no_text_lets_a_line_through() -> None:
    texts = 0
    for path, node in nodes(ROOT):
        kinds = node.get("type", [])
        if "string" in ([kinds] if isinstance(kinds, str) else kinds) and "enum" not in node:
            texts += 1
            assert node.get("pattern", "").endswith(r"$(?!\n)"), f"{path}: no pattern, or one that `$` alone ends"
        if kinds == "object":
            assert node.get("additionalProperties") is False, path
    assert texts > 8


def test_defaults() -> None:
    full = site.load({key: SITE[key] for key in SITE if key not in ("time", "role")}, role())
    assert full["vips"]["delivery"] == {"host": "delivery.cloud.example.org", "port": 25}
    assert full["time"] == {"servers": []}
    assert full["filter"] == {"dnsbl": [], "spf": {"reject_fail": True, "reject_softfail": False},
                              "freshclam": {"enabled": True, "mirror": None, "max_age_days": 7}}
    assert full["selinux"] == "permissive"
    assert full["tuning"] == {}
    assert full["directory"]["tls"] == "starttls"
    other = site.load(with_keys(SITE, directory__urls=["ldaps://dc1.example.org:636"]), role())
    assert other["directory"]["tls"] == "ldaps"


def test_load_changes_nothing_of_its_input() -> None:
    before = json.dumps(SITE)
    site.load(SITE, role())["domains"].append("example.com")
    assert json.dumps(SITE) == before


def test_parameters() -> None:
    assert site.parameters(site.load(SITE, role()), role()) == {"amavis_workers": 16}
    tuning = {"smtp-in": {"amavis_workers": 4}, "sogo": {"workers": 9, "x": [1, "a"]}}
    tuned = site.load(with_keys(SITE, tuning=tuning), role())
    assert site.parameters(tuned, role()) == {"amavis_workers": 4}


@pytest.mark.parametrize(("paths", "wanted"), [
    ({"mailimg": 2}, "site: mailimg: 2 is not one of 1"),
    ({"role": "sogo"}, "site: role: the document is for sogo, this is an instance of smtp-in"),
    ({"delivery": {"host": "a"}}, "site: delivery: unknown key; it has become vips.delivery"),
    ({"outgoing": {}}, "site: outgoing: unknown key; it has become vips.smtp_out (host, port), relay_account (login, "
     "password) and vips.ca"),
    ({"domain": ["example.org"]}, "site: domain: unknown key; do you mean `domains`?"),
    ({"directory__url": "x"}, "site: directory.url: unknown key; do you mean `urls`?"),
    ({"vips__delivery__zzzz": "x"}, "site: vips.delivery.zzzz: unknown key; known here: host, port"),
    ({"domains": "example.org"}, "site: domains: is text; it must be a list"),
    ({"domains": []}, "site: domains: has 0 entries; at least 1 are allowed"),
    ({"domains": ["example.org", "example.org"]}, "site: domains: names something twice"),
    ({"domains": [7]}, "site: domains[0]: is a number; it must be a domain such as example.org"),
    ({"domains": ["exa mple.org"]}, 'site: domains[0]: "exa mple.org" is not a domain such as example.org'),
    ({"networks": ["10.0.0.7/24"]},
     "site: networks[0]: 10.0.0.7/24 is an address inside a network; do you mean 10.0.0.0/24?"),
    ({"networks": ["10.0.0.0/99"]}, "site: networks[0]: 10.0.0.0/99 is not a network"),
    ({"networks": ["0.0.0.0/0"]}, "site: networks[0]: 0.0.0.0/0 is wider than /8: every host in it could relay mail"),
    ({"networks": ["::/0"]}, "site: networks[0]: ::/0 is wider than /16: every host in it could relay mail"),
    ({"directory__tls": "tls"}, 'site: directory.tls: "tls" is not one of "starttls", "ldaps", "none"'),
    ({"directory__tls": "ldaps"}, "site: directory.tls: ldaps needs ldaps:// URLs"),
    ({"directory__urls": ["ldaps://a.example.org"], "directory__tls": "none"},
     "site: directory.tls: none does not go with ldaps:// URLs; leave it out"),
    ({"directory__urls": ["ldaps://a.example.org", "ldap://b.example.org"]},
     "site: directory.urls: ldap:// and ldaps:// are mixed; give one kind"),
    ({"directory__urls": ["ldap://a.example.org:70000"]}, "site: directory.urls[0]: 70000 is no TCP port"),
    ({"directory__bind_password": "hunter2"},
     "site: directory.bind_password: the value (not shown) is not a secret reference: file:/path, barbican:UUID or "
     "literal:text, without control characters or blanks at its ends"),
    ({"vips__delivery__port": 0}, "site: vips.delivery.port: 0 is less than 1"),
    ({"vips__delivery__port": 65536}, "site: vips.delivery.port: 65536 is more than 65535"),
    ({"vips__delivery__port": True}, "site: vips.delivery.port: is true or false; it must be a TCP port, 1 to 65535"),
    ({"vips__delivery": None}, "site: vips.delivery: is empty; it must be a mapping"),
    ({"filter__spf__reject_fail": "yes"}, "site: filter.spf.reject_fail: is text; it must be true or false"),
    ({"tuning__smtp-in__amavis_workers": 0}, "site: tuning.smtp-in.amavis_workers: 0 is less than 1"),
    ({"tuning__smtp-in__amavis_worker": 1},
     "site: tuning.smtp-in.amavis_worker: unknown key; do you mean `amavis_workers`?"),
    ({"tuning__Sogo": {}}, "site: tuning.Sogo: not a name that may stand here"),
    ({"tuning__sogo__x": {"y": 1}},
     "site: tuning.sogo.x: is a mapping; it must be a number, true, false, one line of text, or a list of these"),
])
def test_words(paths: Dict[str, Any], wanted: str) -> None:
    assert problems(with_keys(SITE, **paths)) == [wanted]


def test_missing_keys() -> None:
    assert problems({"mailimg": 1}) == [
        f"site: {key}: missing; role smtp-in cannot serve without it" for key in ROLE["site"]]
    found = problems({**SITE, "directory": {"urls": ["ldap://dc1.example.org"], "tls": "starttls"}})
    assert found == ["site: directory.base: missing", "site: directory.bind_dn: missing",
                     "site: directory.bind_password: missing",
                     "site: directory.ca: missing; give the PEM certificates of the directory's CA, or `system`"]
    assert problems({key: SITE[key] for key in SITE if key != "mailimg"}) == ["site: mailimg: missing"]


def test_a_directory_without_tls_needs_no_ca() -> None:
    directory = {**SITE["directory"], "tls": "none"}
    del directory["ca"]
    assert problems({**SITE, "directory": directory}) == []


def test_all_problems_at_once() -> None:
    document = with_keys(SITE, role="sogo", domain=1, networks=["10.0.0.7/24", "x"], directory__tls="ldaps",
                         vips__delivery__port=0, tuning={"smtp-in": {"amavis_workers": 0, "workers": 1}})
    del document["domains"]
    assert problems(document) == [
        "site: domain: unknown key; do you mean `domains`?",
        'site: networks[1]: "x" is not a network such as 10.0.0.0/24 or 2001:db8::/64',
        "site: vips.delivery.port: 0 is less than 1",
        "site: role: the document is for sogo, this is an instance of smtp-in",
        "site: domains: missing; role smtp-in cannot serve without it",
        "site: tuning.smtp-in.workers: unknown key; do you mean `amavis_workers`?",
        "site: tuning.smtp-in.amavis_workers: 0 is less than 1",
        "site: networks[0]: 10.0.0.7/24 is an address inside a network; do you mean 10.0.0.0/24?",
        "site: directory.tls: ldaps needs ldaps:// URLs",
    ]


@pytest.mark.parametrize("document", [None, [], "x", 7])
def test_no_mapping(document: Any) -> None:
    with pytest.raises(DocumentError, match="it must be a mapping"):
        site.load(document, role())


PLACES = ["domains", "cloud_domain", "networks", "directory__urls", "directory__base", "directory__bind_dn",
          "directory__bind_password", "vips__delivery__host", "time__servers", "filter__dnsbl",
          "filter__freshclam__mirror", "tuning__sogo__title"]
GOOD = {"domains": "example.org", "cloud_domain": "cloud.example.org", "networks": "10.0.0.0/24",
        "directory__urls": "ldap://dc1.example.org", "directory__base": "dc=example,dc=org",
        "directory__bind_dn": "cn=r,dc=example,dc=org", "directory__bind_password": "literal:abc",
        "vips__delivery__host": "a.example.org", "time__servers": "ntp.example.org", "filter__dnsbl": "bl.example.net",
        "filter__freshclam__mirror": "https://mirror.example.org/clam", "tuning__sogo__title": "Mail"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attack", [
    "{}\n", "\n{}", "{}\nrelayhost = evil.example.net", "{}\r", "{}\0", "{}\u2028x", "{}\x85x", "{}\tx\n",
], ids=repr)
def test_no_value_smuggles_a_line(place: str, attack: str) -> None:
    listed = isinstance(SITE.get(place.split("__")[0]), list) or place in (
        "directory__urls", "time__servers", "filter__dnsbl")
    assert problems(with_keys(SITE, **{place: [GOOD[place]] if listed else GOOD[place]})) == []
    value = attack.format(GOOD[place])
    found = problems(with_keys(SITE, **{place: [value] if listed else value}))
    assert len(found) == 1, found
    assert "\n" not in found[0]


@pytest.mark.parametrize(("place", "value"), [
    *[("domains", value) for value in (
        "example", "-a.example.org", "a..example.org", "$mydestination.org", "a.example.org/x", "*.example.org",
        "a,b.example.org", "10.0.0.1", "a" * 64 + ".org", "é.example.org", "")],
    *[("networks", value) for value in ("10.0.0.0", "10.0.0.0/24 0.0.0.0/0", "example.org/24", "!10.0.0.0/24")],
    *[("directory__urls", value) for value in (
        "http://a.example.org", "ldap://", "ldap://u:p@a.example.org", "ldap://a.example.org/dc=x?y", "ldapi:///",
        "ldap://a.example.org b.example.org", "ldap://${x}")],
    *[("time__servers", value) for value in ("ntp.example.org iburst", "!x", "a;b", "")],
    *[("filter__dnsbl", value) for value in ("zen.example.org=127.0.0.1", "a.example.org reject", "a")],
])
def test_no_value_smuggles_syntax_into_a_list(place: str, value: str) -> None:
    assert len(problems(with_keys(SITE, **{place: [value]}))) == 1


@pytest.mark.parametrize(("place", "value"), [
    *[("directory__base", value) for value in ("example.org", "dc=example,dc=org ", "=x", "dc=")],
    *[("directory__bind_password", value) for value in (
        "literal:", "file:relative", "env:X", "literal: x", "literal:x ", "plain", "file:/")],
    *[("vips__delivery__host", value) for value in ("[a.example.org]", "a.example.org:25", "a b", "$x", "-a")],
    *[("filter__freshclam__mirror", value) for value in (
        "http://a.example.org", "https://u@a.example.org", "https://a.example.org/?q", "https://a.example.org/x y")],
    *[("directory__ca", value) for value in (
        "systems", "-----BEGIN CERTIFICATE-----\nTUlJ", PEM + "x", PEM.replace("TUlJ", "TU;J"),
        PEM.replace("CERTIFICATE", "PRIVATE KEY"), "")],
])
def test_no_value_smuggles_syntax(place: str, value: str) -> None:
    assert len(problems(with_keys(SITE, **{place: value}))) == 1


@pytest.mark.parametrize(("place", "value"), [
    ("domains", ["xn--bcher-kva.example", "EXAMPLE.org"]), ("networks", ["2001:db8::/64", "10.0.0.0/8"]),
    ("directory__ca", PEM), ("directory__ca", PEM + PEM.rstrip()), ("directory__bind_password", "file:/run/secret"),
    ("directory__bind_password", "literal:a b#$'\"\\ü"), ("directory__base", "ou=Büro\\, Süd,dc=example,dc=org"),
    ("time__servers", ["10.0.0.1", "2001:db8::1", "ntp"]), ("filter__freshclam__mirror", None),
    ("directory__urls", ["ldap://dc1.example.org:3268/"]), ("vips__delivery__host", "10.0.0.9"),
])
def test_taken(place: str, value: Any) -> None:
    assert problems(with_keys(SITE, **{place: value})) == []


def test_patterns_do_not_take_forever() -> None:
    for _, node in nodes(ROOT):
        if "pattern" in node:
            for text in ("a" * 3000 + "!", "a." * 1500 + "!", "-----BEGIN CERTIFICATE-----\n" * 200, "1:" * 1000):
                re.search(node["pattern"], text)
