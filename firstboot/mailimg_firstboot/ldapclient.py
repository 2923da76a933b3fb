"""OpenLDAP's programs: a controller's own description, and entries with the tickets of a Kerberos login.

Requests go by SASL GSSAPI, signed and sealed by Kerberos itself, which every domain controller takes on port 389; no
certificate is needed for that. The programs' exit status is the LDAP result code (RFC 4511, appendix A); they end with
255 and 254 for the library's own -1 (cannot contact) and -2 (local error).
"""

import base64
from typing import Any, Callable, Dict, List, Optional

from mailimg_firstboot.errors import StepError, TransientError

# Seconds for a program; 5 of them (nettimeout) for the connection.
TIMEOUT = 30.0

NO_SUCH_OBJECT = 32
INSUFFICIENT_ACCESS = 50
ALREADY_EXISTS = 68

# A controller that starts, stops or is out of reach: busy, unavailable, and "can't contact".
PASSING = {51, 52, 255}

Entry = Dict[str, List[str]]


class RefusedError(StepError):
    """The directory answered with an LDAP result code other than success."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class LDAP:
    """Entries of the directory; `run` is `Host.run`, `env` names the ticket cache."""

    def __init__(self, run: Callable[..., Any], server: str, env: Optional[Dict[str, str]] = None) -> None:
        self._run = run
        self._server = server
        self._url = "ldap://" + server
        self._env = env

    def root(self) -> Entry:
        """The rootDSE, which needs no login.

        Raises:
            TransientError: the server does not answer.
        """
        argv = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=5", "-H", self._url, "-s", "base",
                "-b", "", "(objectClass=*)", "currentTime", "dnsHostName", "defaultNamingContext"]
        return self._answer(self._run(argv, "ask " + self._server, TIMEOUT, check=False), "look at")[0]

    def search(self, base: str, query: str, *attributes: str, scope: str = "sub") -> List[Entry]:
        """Entries that match a filter, each with its `dn`; referrals are left alone."""
        argv = ["ldapsearch", "-Q", "-N", "-Y", "GSSAPI", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=5", "-H",
                self._url, "-s", scope, "-b", base, query, *attributes]
        return self._answer(self._run(argv, "search", TIMEOUT, check=False, env=self._env), "search")

    def add(self, dn: str, **attributes: str) -> None:
        """Make an entry.

        Raises:
            RefusedError: it is there already, or the account may not.
        """
        lines = [_line("dn", dn), "changetype: add"] + [_line(name, value) for name, value in attributes.items()]
        self._change(lines, "make " + dn)

    def replace(self, dn: str, attribute: str, value: str) -> None:
        """Give an attribute one value.

        Raises:
            RefusedError: the account may not.
        """
        self._change([_line("dn", dn), "changetype: modify", "replace: " + attribute, _line(attribute, value)],
                     "change " + dn)

    def delete(self, dn: str) -> None:
        """Delete an entry; nothing happens when there is none.

        Raises:
            RefusedError: the account may not.
        """
        try:
            self._change([_line("dn", dn), "changetype: delete"], "delete " + dn)
        except RefusedError as error:
            if error.code != NO_SUCH_OBJECT:
                raise

    def _change(self, lines: List[str], what: str) -> None:
        argv = ["ldapmodify", "-Q", "-N", "-Y", "GSSAPI", "-o", "nettimeout=5", "-H", self._url]
        ldif = "\n".join([*lines, ""]).encode("utf-8")
        self._answer(self._run(argv, what, TIMEOUT, check=False, stdin=ldif, env=self._env), what)

    def _answer(self, done: Any, what: str) -> List[Entry]:
        if done.status == 0:
            return entries(done.out.decode("utf-8", "replace"))
        words = "; ".join(line.strip() for line in done.err.splitlines() if line.strip()) or "no words"
        message = "{} at {}: {}".format(what, self._server, words[-300:])
        if done.status in PASSING or "Cannot contact any KDC" in words:
            raise TransientError(message)
        raise RefusedError(done.status, message)


def entries(ldif: str) -> List[Entry]:
    """The entries of unwrapped LDIF (RFC 2849); names of attributes in lower case, comments left out."""
    found: List[Entry] = []
    for block in ldif.split("\n\n"):
        entry: Entry = {}
        for line in block.splitlines():
            name, colon, value = line.partition(":")
            if not colon or line.startswith("#"):
                continue
            if value.startswith(":"):
                value = base64.b64decode(value[1:].strip()).decode("utf-8", "replace")
            entry.setdefault(name.lower(), []).append(value.strip())
        if "dn" in entry:
            found.append(entry)
    return found


def _line(name: str, value: str) -> str:
    """One line of LDIF; in base64, whatever the value begins with or holds."""
    return "{}:: {}".format(name, base64.b64encode(value.encode("utf-8")).decode("ascii"))
