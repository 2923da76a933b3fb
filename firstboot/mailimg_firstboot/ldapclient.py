"""OpenLDAP's programs: a controller's own description, and entries with the tickets of a Kerberos login.

Requests go by SASL GSSAPI, signed and sealed by Kerberos itself, which every domain controller takes on port 389; no
certificate is needed for that. The programs' exit status is the LDAP result code (RFC 4511, appendix A); they end with
255 and 254 for the library's own -1 (cannot contact) and -2 (local error).
"""

import base64
from typing import Any, Callable, Dict, List, Optional

from mailimg_firstboot.errors import StepError, TransientError

# Seconds for a connection, and for a program as a whole.
CONNECT_TIMEOUT = 5
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
        self._env = env

    def root(self) -> Entry:
        """The rootDSE, which needs no login.

        Raises:
            TransientError: the server does not answer.
        """
        argv = ["ldapsearch", "-x", "-LLL", "-s", "base", "-b", "", "-o", "ldif-wrap=no"]
        found = self._ask(argv, ["(objectClass=*)", "currentTime", "dnsHostName", "defaultNamingContext"], "look at")
        return found[0]

    def search(self, base: str, query: str, *attributes: str, scope: str = "sub") -> List[Entry]:
        """Entries that match a filter, each with its `dn`; referrals are left alone."""
        argv = ["ldapsearch", "-Q", "-N", "-Y", "GSSAPI", "-LLL", "-s", scope, "-b", base, "-o", "ldif-wrap=no"]
        return self._ask(argv, [query, *attributes], "search")

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
        argv = ["ldapmodify", "-Q", "-N", "-Y", "GSSAPI"]
        self._ask(argv, [], what, "\n".join([*lines, ""]).encode("utf-8"))

    def _ask(self, argv: List[str], rest: List[str], what: str, stdin: Optional[bytes] = None) -> List[Entry]:
        asked = [*argv, "-H", "ldap://" + self._server, "-o", "nettimeout={}".format(CONNECT_TIMEOUT), *rest]
        what = "{} at {}".format(what, self._server)
        done = self._run(asked, what, TIMEOUT, check=False, stdin=stdin, env=self._env)
        if done.status == 0:
            return entries(done.out.decode("utf-8", "replace"))
        words = "; ".join(line.strip() for line in done.err.splitlines() if line.strip()) or "no words"
        message = "{}: {}".format(what, words[-300:])
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
