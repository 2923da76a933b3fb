"""The instance as a member of an Active Directory, and sssd on top of that. A site that names no domain has neither.

An account is the instance's own if it names the instance, or if it names none and the machine's key opens it (preset
accounts). Any other is left alone: not taken over by `apply`, not deleted by `undo`.
"""

from typing import Optional

from mailimg_firstboot import kerberos, loaded, membership
from mailimg_firstboot.domain import Account, Session
from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.kerberos import LoginError
from mailimg_firstboot.membership import Membership
from mailimg_firstboot.work import Work

SSSD = "sssd.service"

# What a keytab that no longer opens the account means: it was deleted, given a new password, or never was ours.
STALE = {
    kerberos.UNKNOWN: "there is no account {}",
    kerberos.WRONG: "the key of {} does not fit any more",
    kerberos.NO_KEY: "the keytab holds no key of {}",
}


def check(host: Host, work: Work) -> Optional[str]:
    """Log in by the machine's key, and see whether the account names this instance and sssd runs."""
    me = membership.of(work.site, work.node)
    if me is None:
        return None
    return missing(host, me) or _sssd(host, work)


def apply(host: Host, work: Work) -> None:
    """Join, mark the account, start sssd.

    Raises:
        StepError: refused, or the name belongs to somebody else.
        TransientError: no controller answers, or the clock is wrong.
    """
    me = membership.of(work.site, work.node)
    if me is None:
        return
    if missing(host, me):
        server = host.domain.controller(me)
        if not _opens(host, me, server):
            # A keytab that is there is that of the machine whose disk this was, or of an account that has gone.
            host.domain.drop_key()
            _join(host, work, me, server)
        with host.domain.login(me.principal, None, server) as session:
            account = _own(session, me)
            if account.instance is None:
                session.mark(me, account)
    if _sssd(host, work):
        host.systemd.restart(SSSD)
        loaded.remember(host, SSSD, loaded.of_service(host, work.files, "sssd"))


def undo(host: Host, work: Work) -> None:
    """Delete the instance's own computer account, and the key to it.

    Raises:
        StepError: neither the computer nor the joining account may delete it.
    """
    me = membership.of(work.site, work.node)
    if me is None:
        return
    if host.systemd.state(SSSD).active:
        host.systemd.stop(SSSD)
    loaded.forget(host, SSSD)
    if host.domain.has_key() or me.user:
        _delete(host, work, me, host.domain.controller(me))
        host.domain.drop_key()


def missing(host: Host, me: Membership) -> Optional[str]:
    """What the machine lacks to be a member, in words."""
    if not host.domain.has_key():
        return "not a member of {} (as {})".format(me.realm, me.computer)
    try:
        with host.domain.login(me.principal, None, host.domain.controller(me)) as session:
            account = session.find(me)
    except LoginError as error:
        if error.kind not in STALE:
            raise _explained(error, me, preset=True) from error
        return "not a member of {}: {}".format(me.realm, STALE[error.kind].format(me.computer))
    if account is None or account.instance != me.instance:
        return "the account {} does not name this instance".format(me.computer)
    return None


def _sssd(host: Host, work: Work) -> Optional[str]:
    state = host.systemd.state(SSSD)
    if not state.active:
        return "{} is {}".format(SSSD, state.words)
    if not loaded.has(host, SSSD, loaded.of_service(host, work.files, "sssd")):
        return "{} runs with other files than there are now".format(SSSD)
    return None


def _opens(host: Host, me: Membership, server: str) -> bool:
    """Whether the machine's key opens its account."""
    if not host.domain.has_key():
        return False
    try:
        with host.domain.login(me.principal, None, server):
            return True
    except LoginError as error:
        if error.kind in STALE:
            return False
        raise _explained(error, me, preset=True) from error


def _join(host: Host, work: Work, me: Membership, server: str) -> None:
    join = work.site["join"]
    if me.user is None:
        once = join["one_time_password"].reveal()
        try:
            with host.domain.login(me.principal, once, server) as session:
                _own(session, me)
                session.join(me, once)
        except LoginError as error:
            raise _explained(error, me, preset=True) from error
        return
    try:
        with host.domain.login("{}@{}".format(me.user, me.realm), join["password"].reveal(), server) as session:
            account = session.find(me)
            if account is None:
                session.make(me)
            elif account.instance != me.instance:
                raise _collision(me, account)
            session.join(me)
    except LoginError as error:
        raise _explained(error, me, preset=False) from error


def _own(session: Session, me: Membership) -> Account:
    """The account that the machine has just logged in to.

    Raises:
        StepError: it names another instance.
    """
    account = session.find(me)
    if account is None:
        raise TransientError("{} logged in, but the account is not to be found".format(me.computer))
    if account.instance not in (None, me.instance):
        raise _collision(me, account)
    return account


def _delete(host: Host, work: Work, me: Membership, server: str) -> None:
    """By the machine's own right if it has it, else by the account that joined it."""
    refused = None
    if host.domain.has_key():
        try:
            with host.domain.login(me.principal, None, server) as session:
                account = session.find(me)
                if account is None or account.instance not in (None, me.instance) or session.delete(account):
                    return
                refused = account
        except LoginError as error:
            if error.kind not in STALE:
                raise _explained(error, me, preset=True) from error
            if error.kind == kerberos.WRONG and me.user is None:
                raise _by_hand("{} cannot prove that the account is its own: {}".format(me.computer, error.message),
                               me) from error
    if me.user is not None:
        try:
            principal, password = "{}@{}".format(me.user, me.realm), work.site["join"]["password"].reveal()
            with host.domain.login(principal, password, server) as session:
                account = session.find(me)
                mine = account is not None and (account.instance == me.instance or account == refused)
                if account is None or not mine or session.delete(account):
                    return
                refused = account
        except LoginError as error:
            raise _explained(error, me, preset=False) from error
    if refused is not None:
        raise _by_hand("{}: neither the computer itself nor {} may delete it".format(
            refused.dn, me.user or "any joining account"), me)


def _by_hand(message: str, me: Membership) -> StepError:
    hint = ("Delete the account by hand: `adcli delete-computer --domain={} {}`. That computers may delete themselves: "
            "`dsacls OU /I:S /G SELF:SD;;computer`.")
    return StepError(message, hint.format(me.domain, me.computer))


def _collision(me: Membership, account: Account) -> StepError:
    whose = "instance {}".format(account.instance) if account.instance else "no instance that it names"
    hint = "It is not taken over. If nothing uses it any more, delete it: `adcli delete-computer --domain={} {}`."
    return StepError(
        "the computer account {} ({}) belongs to {}, not to {}".format(me.computer, account.dn, whose, me.instance),
        hint.format(me.domain, me.computer))


def _explained(error: LoginError, me: Membership, preset: bool) -> Exception:
    """A refused login with what to do next; a preset account that is not there yet may still come."""
    hint = kerberos.hints(me)[1 if preset else 0].get(error.kind, error.hint)
    if preset and error.kind == kerberos.UNKNOWN:
        return TransientError(error.message, hint)
    return StepError(error.message, hint)
