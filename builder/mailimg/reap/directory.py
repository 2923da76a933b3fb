"""Computer accounts in the directory, by OpenLDAP's programs: TLS that is checked, the password by standard input."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.errors import InputError, StepError

# Seconds for a program; 5 of them for a connection, of which there is one for each server that is named.
TIMEOUT = 60.0
# What ends them, as LDAP result codes (RFC 4511, appendix A.1) and OpenLDAP's own.
GONE = 32
HINTS = {
    49: "Login or password are wrong: each further try counts towards the account's lock-out.",
    50: "Whoever joined the accounts (join.user), or an administrator, may delete them: --login and --password-file.",
    66: "It has entries below it: an administrator must look at them.",
}
NO_ANSWER = "Is a server of directory.urls up, and does its certificate chain to directory.ca and carry its name?"
# As the agent's schema has it (`ldap_url`).
URL = re.compile(r"^ldaps?://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?/?$(?!\n)")
QUERY = "(&(objectClass=computer)(|(description=mailimg *)(info=mailimg *)))"

Entry = Mapping[str, list[str]]


@dataclass(frozen=True)
class Directory:
    """Where accounts are, and how to get in.

    Attributes:
        urls: tried in order; ldap: with StartTLS, or ldaps:.
        ca: certificates in PEM, or `system`.
        base: DN below which accounts are looked for.
        login: name with realm, or DN.
        password: goes to programs by standard input.
    """

    urls: tuple[str, ...]
    ca: str
    base: str
    login: str
    password: bytes

    def computers(self) -> list[Entry]:
        """Computer accounts with a mark of ours, or what looks like one.

        Raises:
            StepError: no answer, or refused.
        """
        told = self._run("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-E", "pr=500/noprompt", "-s", "sub", "-b",
                         self.base, QUERY, "sAMAccountName", "description", "info", what="look for computer accounts")
        return entries(told)

    def delete(self, name: str) -> None:
        """Delete an account by its DN; one that has gone is deleted."""
        self._run("ldapdelete", name, what=f"delete {name}", missing=True)

    def _run(self, program: str, *words: str, what: str, missing: bool = False) -> str:
        if process.which(program) is None:
            raise StepError(f"{what}: {program} is not installed", "Install OpenLDAP's programs: package ldap-utils.")
        secure = () if self.urls[0].startswith("ldaps:") else ("-ZZ",)
        argv = [program, "-x", *secure, "-o", "nettimeout=5", "-H", " ".join(self.urls), "-D", self.login, "-y",
                "/dev/stdin", *words]
        with tempfile.TemporaryDirectory(prefix="mailimg-reap-") as folder:
            env = {"LDAPTLS_REQCERT": "demand", "LDAPREFERRALS": "off"}
            if self.ca != "system":
                authority = Path(folder) / "ca.pem"
                authority.write_text(self.ca, encoding="ascii")
                env["LDAPTLS_CACERT"] = str(authority)
            done = process.run(argv, what=what, env=env, stdin=self.password, timeout=TIMEOUT, check=False)
        if done.returncode and not (missing and done.returncode == GONE):
            said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
            raise StepError(f"{what} at {' '.join(self.urls)}: {said or f'status {done.returncode}'}",
                            HINTS.get(done.returncode, NO_ANSWER))
        return done.stdout


def of_site(site: Mapping[str, Any], login: str | None, password: bytes | None) -> Directory:
    """The directory of a site document.

    Args:
        login: instead of `join.user`.
        password: of the login.

    Raises:
        InputError: what the document lacks, all of it.
    """
    join, directory = (value if isinstance(value := site.get(name), dict) else {} for name in ("join", "directory"))
    problems = [f"{place}: missing" for place, value in (
        ("join.realm", join.get("realm")), ("directory.urls", isinstance(directory.get("urls"), list)),
        ("directory.ca", directory.get("ca"))) if not value]
    if not join.get("ou"):
        problems.append("join.ou: missing: in the domain's own folder for computers are those of others, too")
    if login is None and "user" not in join:
        problems.append("join.user: missing: accounts were preset; say --login and --password-file")
    if password is None:
        problems.append("join.password: missing, or no secret reference; --password-file names a file instead")
    if directory.get("tls") == "none":
        problems.append("directory.tls: none: a password is not sent over that")
    problems += _strange(directory.get("urls"))
    if problems:
        raise InputError(problems, "Without --site only pools and orders are looked at.")
    assert password is not None  # noqa: S101 - a problem otherwise
    name = login or join["user"]
    full = name if "@" in name or "=" in name else f"{name}@{join['realm'].upper()}"
    return Directory(tuple(directory["urls"]), directory["ca"], join["ou"], full, password)


def _strange(urls: Any) -> list[str]:
    """What is wrong with URLs, as the agent sees it at boot: of two kinds, one would get the password without TLS."""
    listed = urls if isinstance(urls, list) else []
    problems = [f"directory.urls[{index}]: {url!r} is no ldap:// or ldaps:// URL of a server"
                for index, url in enumerate(listed) if not (isinstance(url, str) and URL.match(url))]
    if not problems and len({url.partition("://")[0] for url in listed}) > 1:
        problems.append("directory.urls: ldap:// and ldaps:// are mixed; give one kind")
    return problems


def entries(ldif: str) -> list[Entry]:
    """The entries of unwrapped LDIF (RFC 2849); names of attributes in lower case."""
    found: list[Entry] = []
    for block in ldif.split("\n\n"):
        entry: dict[str, list[str]] = {}
        for line in block.splitlines():
            name, colon, value = line.partition(":")
            if not colon or line.startswith("#"):
                continue
            text = base64.b64decode(value[1:]).decode(errors="replace") if value.startswith(":") else value
            entry.setdefault(name.lower(), []).append(text.strip())
        if "dn" in entry:
            found.append(entry)
    return found
