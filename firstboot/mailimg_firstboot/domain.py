"""The machine's account in an Active Directory: adcli, Kerberos' programs and OpenLDAP's.

Passwords go to them by standard input. A login's tickets live in a file that only root reads, for as long as the login
is used. adcli alone would take over an account that is there already, whoever's it is; so the account is looked at
first, and a new one is made with the instance's id on it, in one request.
"""

import calendar
import contextlib
import re
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional

from mailimg_firstboot import kerberos
from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.ldapclient import ALREADY_EXISTS, INSUFFICIENT_ACCESS, LDAP, NO_SUCH_OBJECT, RefusedError
from mailimg_firstboot.membership import Membership, marked

KEYTAB = "/etc/krb5.keytab"
KERBEROS_CONFIG = "/etc/krb5.conf"
CACHE = "/run/mailimg/krb5cc"

# Seconds that Kerberos lets clocks differ (`clockskew`, and Active Directory's own default).
SKEW = 300

# Seconds: kinit asks each controller for a few; adcli talks to one about ten times.
KINIT_TIMEOUT = 60.0
ADCLI_TIMEOUT = 120.0

# 1.2.840.113556.1.4.8: a workstation's account (0x1000) that needs no password yet (0x20).
NEW_COMPUTER = str(0x1000 | 0x20)

# Active Directory's name for the folder that new computers go to ([MS-ADTS] 6.1.1.4, well-known objects).
COMPUTERS = "<WKGUID=aa312825768811d1aded00c04fd8d5cd,{}>"

# Exit status of adcli (0.8 and 0.9), for where its words are none of the above: what it means, and what to do.
ADCLI = {
    1: ("adcli found no domain", ""),
    2: ("adcli itself is at fault, or does not know an option", "Does this image have adcli 0.8 or later?"),
    3: ("the directory refused it", ""),
    5: ("the account is not as adcli wants it", ""),
    6: ("the joining account may not do this",
        "Whoever joins must have made the computer account, or be allowed to reset its password and to write its "
        "account restrictions, DNS host name and service principals."),
}


class Account(NamedTuple):
    """A computer account: where it is, and the instance that it names."""

    dn: str
    instance: Optional[str]


class Domain:
    """The domain as this machine reaches it; `path` and `run` are those of `Host`."""

    def __init__(self, path: Callable[[str], Path], run: Callable[..., Any]) -> None:
        self._path = path
        self._run = run
        self._chosen: Optional[str] = None

    def controller(self, me: Membership) -> str:
        """Name of a domain controller that answers, and whose time is ours.

        Raises:
            TransientError: none answers, or the clocks differ by more than Kerberos allows.
            StepError: a server of the list is no controller of this domain.
        """
        silent = []
        for server in me.servers or [self._by_dns(me)]:
            try:
                root = LDAP(self._run, server).root()
            except TransientError as error:
                silent.append(error.message)
                self._chosen = None
                continue
            base = root.get("defaultnamingcontext", [""])[0]
            if base.lower() != me.base.lower():
                raise StepError("{} is no controller of {}: it serves {}".format(server, me.domain, base or "nothing"),
                                "Correct join.realm or join.servers in the site document.")
            self._compare_clocks(server, root.get("currenttime", [""])[0])
            return root.get("dnshostname", [server])[0].lower()
        raise TransientError("no domain controller of {} answers: {}".format(me.domain, "; ".join(silent)),
                             "Is it up, and do the security groups let TCP and UDP 53, 88, 389 and 464 through to it?")

    def _by_dns(self, me: Membership) -> str:
        """The controller that adcli chooses: DNS SRV, then the nearest that answers a ping; kept while it answers."""
        if self._chosen is not None:
            return self._chosen
        argv = ["adcli", "info", me.domain]
        done = self._run(argv, "look for a controller of " + me.domain, ADCLI_TIMEOUT, check=False)
        found = re.search(r"^domain-controller = (\S+)$", done.out.decode("utf-8", "replace"), re.MULTILINE)
        if done.status != 0 or found is None:
            raise TransientError(
                "no domain controller of {} found: {}".format(me.domain, done.err[-200:] or "no answer"),
                "DNS of the instance must know _ldap._tcp.dc._msdcs.{} (SRV), or the site document name "
                "join.servers.".format(me.domain))
        self._chosen = found.group(1)
        return self._chosen

    @staticmethod
    def _compare_clocks(server: str, theirs: str) -> None:
        match = re.match(r"(\d{14})(?:\.\d+)?Z$", theirs)
        if match is None:
            raise StepError("{} does not tell its time".format(server), "It must be a domain controller.")
        ahead = time.time() - calendar.timegm(time.strptime(match.group(1), "%Y%m%d%H%M%S"))
        if abs(ahead) > SKEW:
            raise TransientError(
                "the clock is {:.0f} s {} {}'s; Kerberos allows {} s".format(
                    abs(ahead), "ahead of" if ahead > 0 else "behind", server, SKEW),
                "Name time servers (time.servers), for instance the domain controllers, in the site document.")

    def has_key(self) -> bool:
        """Whether there is a keytab at all."""
        return self._path(KEYTAB).is_file()

    def drop_key(self) -> None:
        """Remove the keytab."""
        with contextlib.suppress(FileNotFoundError):
            self._path(KEYTAB).unlink()

    @contextlib.contextmanager
    def login(self, principal: str, password: Optional[str], server: str) -> Iterator["Session"]:
        """The directory at `server`, for `principal`; without a password, by the keytab.

        Raises:
            LoginError: refused.
            TransientError: nobody answered.
        """
        cache = self._path(CACHE)
        cache.parent.mkdir(0o755, parents=True, exist_ok=True)
        env = {"KRB5_CONFIG": str(self._path(KERBEROS_CONFIG)), "KRB5CCNAME": "FILE:{}".format(cache)}
        try:
            what = "log in as " + principal
            if password is None:
                done = self._run(["kinit", "-c", str(cache), "-k", "-t", str(self._path(KEYTAB)), principal], what,
                                 KINIT_TIMEOUT, check=False, env=env)
            else:
                done = self._run(["kinit", "-c", str(cache), principal], what, KINIT_TIMEOUT, check=False, env=env,
                                 stdin=password.encode("utf-8") + b"\n")
            if done.status != 0:
                raise kerberos.error(what, done.out.decode("utf-8", "replace") + done.err)
            yield Session(self._run, server, env, str(cache), str(self._path(KEYTAB)))
        finally:
            with contextlib.suppress(FileNotFoundError):
                cache.unlink()


class Session:
    """What one login may do at one controller.

    Args:
        run: `Host.run`.
        server: name of the controller.
        env: where the programs find Kerberos' configuration and the tickets.
        cache: path of the tickets.
        keytab: path of the machine's keytab.
    """

    def __init__(self, run: Callable[..., Any], server: str, env: Dict[str, str], cache: str, keytab: str) -> None:
        self._run = run
        self._server = server
        self._env = env
        self._cache = cache
        self._keytab = keytab
        self._ldap = LDAP(run, server, env)

    def find(self, me: Membership) -> Optional[Account]:
        """The computer account of this name, wherever in the domain it is."""
        found = self._ldap.search(me.base, "(sAMAccountName={})".format(me.account), "description", "info")
        if not found:
            return None
        texts = found[0].get("description", []) + found[0].get("info", [])
        named = [instance for instance in map(marked, texts) if instance]
        return Account(found[0]["dn"][0], named[0] if named else None)

    def make(self, me: Membership) -> None:
        """Make the computer account, with the instance's id on it; its creator may set it up and delete it again.

        `description` is one of the few attributes that a creator may give a computer account in the same request.

        Raises:
            StepError: the login may not, or the OU does not exist.
        """
        try:
            parent = me.ou or self._folder(me)
            self._ldap.add("CN={},{}".format(me.computer, parent), objectClass="computer", sAMAccountName=me.account,
                           userAccountControl=NEW_COMPUTER, description=me.mark)
        except RefusedError as error:
            hints = {
                NO_SUCH_OBJECT: "Make the OU, or correct join.ou.",
                INSUFFICIENT_ACCESS: "Delegate to {} the right to create computer objects there.".format(me.user),
                ALREADY_EXISTS: "An object of this name is there, but it is no computer account {}.".format(me.account),
            }
            raise StepError(error.message, hints.get(error.code, "The directory's own words say why.")) from error

    def _folder(self, me: Membership) -> str:
        return self._ldap.search(COMPUTERS.format(me.base), "(objectClass=*)", "dn", scope="base")[0]["dn"][0]

    def mark(self, me: Membership, account: Account) -> None:
        """Write the instance's id on the machine's own account, into the one text that a computer may change there.

        `info` is in the property set "Personal Information", which a computer may write on itself by default.

        Raises:
            StepError: it may not.
        """
        try:
            self._ldap.replace(account.dn, "info", me.mark)
        except RefusedError as error:
            hint = "Let computers write `info` on themselves, or end the account's description with `instance {}`."
            raise StepError(error.message, hint.format(me.instance)) from error

    def delete(self, account: Account) -> bool:
        """Delete a computer account; False when the login may not. One that has gone is deleted."""
        try:
            self._ldap.delete(account.dn)
        except RefusedError as error:
            if error.code == INSUFFICIENT_ACCESS:
                return False
            raise
        return True

    def join(self, me: Membership, one_time_password: Optional[str] = None) -> None:
        """Give the account a new random password and write the keytab.

        Args:
            one_time_password: of a preset account, which then joins itself; None: by the tickets of this login.

        Raises:
            StepError: refused.
            TransientError: nobody answered.
        """
        what = "join {} as {}".format(me.realm, me.computer)
        if one_time_password is None:
            done = self._run(
                ["adcli", "join", "--domain=" + me.domain, "--domain-realm=" + me.realm,
                 "--domain-controller=" + self._server, "--computer-name=" + me.computer, "--host-fqdn=" + me.fqdn,
                 "--host-keytab=" + self._keytab, "--login-ccache=" + self._cache],
                what, ADCLI_TIMEOUT, check=False, env=self._env)
        else:
            done = self._run(
                ["adcli", "join", "--domain=" + me.domain, "--domain-realm=" + me.realm,
                 "--domain-controller=" + self._server, "--computer-name=" + me.computer, "--host-fqdn=" + me.fqdn,
                 "--host-keytab=" + self._keytab, "--login-type=computer", "--stdin-password"],
                what, ADCLI_TIMEOUT, check=False, env=self._env, stdin=one_time_password.encode("utf-8"))
        if done.status == 0:
            return
        meaning, hint = ADCLI.get(done.status, ("adcli ended with status {}".format(done.status), ""))
        raise kerberos.error(what, "{} ({})".format(done.err[-300:], meaning), hint)
