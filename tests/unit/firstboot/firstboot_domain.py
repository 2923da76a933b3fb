"""A directory of computer accounts, for tests of the step `join`."""

import contextlib
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional

from mailimg_firstboot import kerberos
from mailimg_firstboot.domain import KEYTAB, Account, Domain, Session
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.kerberos import LoginError
from mailimg_firstboot.membership import Membership

if TYPE_CHECKING:
    from firstboot_machine import FakeHost

JOINER_PASSWORD = "joiner's word 3"
JOIN = {"realm": "ad.example.org", "ou": "OU=mail,DC=ad,DC=example,DC=org", "user": "svc-join",
        "password": "literal:" + JOINER_PASSWORD}


class FakeAccount:
    """A computer account; `key` is what its keytab holds."""

    def __init__(self, instance: Optional[str], key: str = "") -> None:
        self.instance = instance
        self.key = key


class FakeSession(Session):
    """What somebody who has logged in may do: a joiner may delete, a computer may not."""

    def __init__(self, there: "FakeDomain", user: bool) -> None:
        self.there = there
        self.user = user

    def find(self, me: Membership) -> Optional[Account]:
        found = self.there.accounts.get(me.account)
        return None if found is None else Account("CN=" + me.computer, found.instance)

    def make(self, me: Membership) -> None:
        self.there.host.fuse.before("make account")
        self.there.accounts[me.account] = FakeAccount(me.instance)
        self.there.host.fuse.after("make account")

    def mark(self, me: Membership, account: Account) -> None:
        self.there.host.fuse.before("mark account")
        self.there.accounts[me.account].instance = me.instance
        self.there.host.fuse.after("mark account")

    def delete(self, account: Account) -> bool:
        if not self.user and not self.there.may_leave:
            return False
        self.there.host.fuse.before("delete account")
        del self.there.accounts[account.dn[3:] + "$"]
        self.there.host.fuse.after("delete account")
        return True

    def join(self, me: Membership, one_time_password: Optional[str] = None) -> None:
        self.there.joins.append(me.computer)
        key = "{} {}".format(me.account, len(self.there.joins))
        self.there.host.write(KEYTAB, key.encode(), mode=0o600)
        self.there.accounts[me.account].key = key


class FakeDomain(Domain):
    """A controller that always answers; `may_leave`: computers may delete themselves."""

    def __init__(self, host: "FakeHost") -> None:
        super().__init__(host.path, host.run)
        self.host = host
        self.accounts: Dict[str, FakeAccount] = {}
        self.passwords: Dict[str, str] = {"svc-join": JOINER_PASSWORD}
        self.joins: List[str] = []
        self.logins: List[str] = []
        self.may_leave = False

    def controller(self, me: Membership) -> str:
        return "dc1." + me.domain

    def drop_key(self) -> None:
        self.host.remove(KEYTAB)

    @contextlib.contextmanager
    def login(self, principal: str, password: Optional[str], server: str) -> Iterator[Session]:
        name = principal.split("@")[0]
        self.logins.append(name)
        if name.endswith("$"):
            account = self.accounts.get(name)
            key = (self.host.read(KEYTAB) or b"").decode()
            if password is None and not key.startswith(name):
                raise LoginError(kerberos.NO_KEY, "no key")
            if account is None:
                raise LoginError(kerberos.UNKNOWN, "unknown " + name)
            if account.key != (key if password is None else password):
                raise LoginError(kerberos.WRONG, "wrong key")
        elif self.passwords.get(name) != password:
            raise LoginError(kerberos.WRONG, "wrong password")
        yield FakeSession(self, not name.endswith("$"))

    def state(self) -> Dict[str, object]:
        """What the directory holds."""
        return {name: (one.instance, one.key) for name, one in self.accounts.items()}


def refused(error: StepError) -> str:
    """Message and hint in one text."""
    return error.message + "\n" + error.hint
