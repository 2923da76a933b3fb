"""What a role writes for Dovecot holds for the oldest Dovecot of an image (2.2.36)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from examples import RESOURCES, render

from mailimg import roles

DATA = Path(__file__).parents[1] / "data"
# The list was taken from the sources: those of the auth service stand there without their prefix, and one that has
# another name in its structure (`auto` of a mailbox, known since 2.1) is not in it.
LISTED = frozenset((DATA / "dovecot-2.2.36-settings.txt").read_text().split())
KNOWN = LISTED | {f"auth_{name}" for name in LISTED} | {"auto"}
KNOWN_LDAP = frozenset((DATA / "dovecot-2.2.36-ldap-settings.txt").read_text().split())
DOVECOT_ROLES = [
    name for name in roles.role_names(RESOURCES) if (RESOURCES.roles / name / "templates" / "dovecot.conf.j2").is_file()
]
DISTROS = roles.distro_names(RESOURCES)


def settings(role: str, distro: str, file: str, minimum: str) -> list[str]:
    """Names before `=` outside of `plugin`, whose settings have any name."""
    facts = {"dovecot": {"ssl_min_protocol": minimum}}
    text = next(one.content.decode() for one in render(role, distro, facts) if one.path.endswith("/" + file))
    text = re.sub(r"^plugin \{.*?^\}", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^\s*([a-z][a-z0-9_]*) =", text, flags=re.MULTILINE)


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", DOVECOT_ROLES)
def test_only_settings_of_the_oldest_dovecot(role: str, distro: str) -> None:
    found = settings(role, distro, "dovecot.conf", "")
    assert len(found) > 30
    assert [name for name in found if name not in KNOWN] == []
    assert [name for name in settings(role, distro, "ldap-users.conf", "") if name not in KNOWN_LDAP] == []


@pytest.mark.parametrize("role", DOVECOT_ROLES)
def test_newer_settings_stand_behind_the_fact(role: str) -> None:
    old = set(settings(role, DISTROS[0], "dovecot.conf", ""))
    new = set(settings(role, DISTROS[0], "dovecot.conf", "TLSv1.2"))
    assert (old - new, new - old) == ({"ssl_protocols"}, {"ssl_min_protocol"})


def test_mailboxes_ask_for_tls() -> None:
    files = {one.path.rpartition("/")[2]: one.content.decode() for one in render("pop-imap-lda", DISTROS[0])}
    assert "\nssl = required\ndisable_plaintext_auth = yes\n" in files["dovecot.conf"]
    assert not re.search(r"port = 144\b", files["dovecot.conf"])
