"""What a role writes for Dovecot holds for the oldest Dovecot of an image (2.2.36)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from examples import RESOURCES, render, role_file

from mailimg import roles
from mailimg_firstboot import site
from mailimg_firstboot.errors import DocumentError

DATA = Path(__file__).parents[1] / "data"
# The list was taken from the sources: those of the auth service stand there without their prefix, and one that has
# another name in its structure (`auto` of a mailbox, known since 2.1) is not in it.
LISTED = frozenset((DATA / "dovecot-2.2.36-settings.txt").read_text().split())
KNOWN = LISTED | {f"auth_{name}" for name in LISTED} | {"auto"}
KNOWN_LDAP = frozenset((DATA / "dovecot-2.2.36-ldap-settings.txt").read_text().split())
# Of its 0.4 line, by doc/example-config/conf.d/90-sieve.conf; the tag 0.4.24 itself was not compared.
KNOWN_SIEVE = frozenset({
    "sieve", "sieve_after", "sieve_before", "sieve_default", "sieve_default_name", "sieve_extensions", "sieve_global",
    "sieve_global_extensions", "sieve_max_actions", "sieve_max_redirects", "sieve_max_script_size", "sieve_plugins",
    "sieve_quota_max_scripts", "sieve_quota_max_storage", "sieve_redirect_envelope_from", "sieve_trace_addresses",
    "sieve_trace_debug", "sieve_trace_dir", "sieve_trace_level", "sieve_user_email", "sieve_user_log"})
DOVECOT_ROLES = [
    name for name in roles.role_names(RESOURCES) if (RESOURCES.roles / name / "templates" / "dovecot.conf.j2").is_file()
]
DISTROS = roles.distro_names(RESOURCES)


PLUGIN = re.compile(r"^(?P<indent> *)plugin \{.*?^(?P=indent)\}", flags=re.MULTILINE | re.DOTALL)
NAME = re.compile(r"^\s*([a-z][a-z0-9_]*) =", flags=re.MULTILINE)


def text_of(role: str, distro: str, file: str, minimum: str | None = None) -> str:
    """A rendered file; `minimum` replaces the distribution's ssl_min_protocol."""
    facts = {} if minimum is None else {"dovecot": {"ssl_min_protocol": minimum}}
    return next(one.content.decode() for one in render(role, distro, facts) if one.path.endswith("/" + file))


def names(text: str) -> list[str]:
    """Names before `=` outside of `plugin`, whose settings have any name."""
    return NAME.findall(PLUGIN.sub("", text))


def unknown_settings(text: str) -> list[str]:
    """Settings of dovecot.conf that Dovecot 2.2.36, or Pigeonhole 0.4.24 inside of `plugin`, does not know."""
    sieve = [name for part in PLUGIN.finditer(text) for name in NAME.findall(part[0]) if name.startswith("sieve")]
    return [name for name in names(text) if name not in KNOWN] + [
        name for name in sieve if name.rstrip("0123456789") not in KNOWN_SIEVE]


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", DOVECOT_ROLES)
def test_only_settings_of_the_oldest_dovecot(role: str, distro: str) -> None:
    text = text_of(role, distro, "dovecot.conf", "")
    assert len(names(text)) > 30
    assert unknown_settings(text) == []
    assert [name for name in names(text_of(role, distro, "ldap-users.conf", "")) if name not in KNOWN_LDAP] == []


@pytest.mark.parametrize("role", DOVECOT_ROLES)
def test_centos_7_has_only_settings_of_dovecot_2_2(role: str) -> None:
    assert unknown_settings(text_of(role, "centos-7", "dovecot.conf")) == []
    for file in ("ldap-users.conf", "ldap-passwords.conf"):
        assert [name for name in names(text_of(role, "centos-7", file)) if name not in KNOWN_LDAP] == []


@pytest.mark.parametrize("role", DOVECOT_ROLES)
def test_a_newer_setting_is_found(role: str) -> None:
    """Both where a template has it outside of the branch of newer versions, and where the fact is wrong."""
    text = text_of(role, "centos-7", "dovecot.conf")
    for name in ("ssl_min_protocol", "ssl_dh", "ssl_curve_list", "auth_allow_weak_schemes", "mail_driver"):
        assert unknown_settings(f"{text}\n{name} = x\n") == [name]
    assert unknown_settings(text.replace("  sieve_before =", "  sieve_script_of_tomorrow =")) == [
        "sieve_script_of_tomorrow"]
    assert unknown_settings(text_of(role, "centos-7", "dovecot.conf", "TLSv1.2")) == ["ssl_min_protocol"]


@pytest.mark.parametrize("role", DOVECOT_ROLES)
def test_newer_settings_stand_behind_the_fact(role: str) -> None:
    old = set(names(text_of(role, DISTROS[0], "dovecot.conf", "")))
    new = set(names(text_of(role, DISTROS[0], "dovecot.conf", "TLSv1.2")))
    assert (old - new, new - old) == ({"ssl_protocols"}, {"ssl_min_protocol"})


@pytest.mark.parametrize("distro", DISTROS)
def test_mailboxes_ask_for_tls(distro: str) -> None:
    files = {one.path.rpartition("/")[2]: one.content.decode() for one in render("pop-imap-lda", distro)}
    assert "\nssl = required\ndisable_plaintext_auth = yes\n" in files["dovecot.conf"]
    assert not re.search(r"port = 144\b", files["dovecot.conf"])


def test_an_index_that_the_distribution_does_not_have_is_refused() -> None:
    folder = roles.load_role(RESOURCES, "pop-imap-lda").folder
    document = site.parse((folder / "example" / "site.yaml").read_bytes(), "site")
    document["tuning"] = {"pop-imap-lda": {"search": "xapian"}}
    assert site.load(document, role_file("pop-imap-lda", "debian-12"))["tuning"] == document["tuning"]
    with pytest.raises(DocumentError) as caught:
        site.load(document, role_file("pop-imap-lda", "centos-7"))
    assert caught.value.problems == (
        'site: tuning.pop-imap-lda.search: "xapian" is not one of "lucene", "solr", "none"',)


@pytest.mark.parametrize("distro", DISTROS)
def test_imap_tells_one_limit_of_a_quota_root(distro: str) -> None:
    """SOGo reads the first limit up to the bracket: of two it makes no number. All of them count for who delivers."""
    text = text_of("pop-imap-lda", distro, "dovecot.conf")
    roots = re.findall(r"^ +(quota\d*) = (.*)$", text, flags=re.MULTILINE)
    assert roots == [("quota", "maildir:limits:hidden"), ("quota2", "count:mailbox:noenforcing")]
    limits = {root: {limit.partition("=")[0] for rule in re.findall(rf"^ +{root}_rule\d* = (.*)$", text, re.MULTILINE)
                     for limit in rule.split(":")[1:]} for root, _ in roots}
    assert limits == {"quota": {"storage", "messages"}, "quota2": {"storage"}}
    assert ", info=quota_rule=*:bytes=%$, info=quota2_rule=*:bytes=%$\n" in text_of(
        "pop-imap-lda", distro, "ldap-users.conf")


def found(ldap_filter: str, entry: dict[str, str]) -> bool:
    """Whether a filter of `&`, `|` and `name=value` meets an entry with one value a name."""
    inner = ldap_filter[1:-1]
    if inner[0] not in "&|":
        name, _, value = inner.partition("=")
        return name in entry and value in ("*", entry[name])
    parts, depth, begin = [], 0, 1
    for at, sign in enumerate(inner):
        depth += (sign == "(") - (sign == ")")
        if sign == ")" and depth == 0:
            parts.append(inner[begin:at + 1])
            begin = at + 1
    return (all if inner[0] == "&" else any)(found(part, entry) for part in parts)


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize(("service", "user", "who"), [
    ("imap", "anna", ["anna"]), ("imap", "a.a@example.org", []), ("imap", "-", []), ("imap", "bela", ["bela"]),
    ("lmtp", "a.a@example.org", ["anna"]), ("lmtp", "anna", ["anna", "clara"]),
])
def test_a_login_finds_one_entry_whatever_the_addresses_of_others_are(
    distro: str, service: str, user: str, who: list[str],
) -> None:
    entries = [{"objectClass": "person", "sAMAccountName": login, "mail": mail} for login, mail in (
        ("anna", "a.a@example.org"), ("bela", "-"), ("clara", "anna"), ("dora", "none"), ("emma", "person"))]
    (line,) = re.findall(r"^pass_filter = (.*)$", text_of("pop-imap-lda", distro, "ldap-passwords.conf"), re.MULTILINE)
    way = r"\1" if service == "lmtp" else r"\2"
    asked = re.sub(r"%\{if;%s;eq;lmtp;([^;}]*);([^;}]*)\}", way, line).replace("%u", user)
    assert "%" not in asked
    assert [entry["sAMAccountName"] for entry in entries if found(asked, entry)] == who
