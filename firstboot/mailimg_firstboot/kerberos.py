"""What MIT Kerberos says when it refuses a login, and what it means to whoever waits for the node."""

import re
from typing import Dict, Tuple

from mailimg_firstboot.errors import FirstbootError, StepError, TransientError
from mailimg_firstboot.membership import Membership

# Words of kinit and of adcli alike, and their kind; EL7's has no apostrophe in "Client's".
UNKNOWN, WRONG, DISABLED, EXPIRED, SILENT, SKEWED, NO_KEY = (
    "unknown", "wrong", "disabled", "expired", "silent", "skewed", "no key")
KERBEROS = (
    ("not found in Kerberos database", UNKNOWN),
    ("Preauthentication failed|Password incorrect", WRONG),
    ("Client'?s credentials have been revoked", DISABLED),
    ("[Pp]assword (?:has )?expired", EXPIRED),
    ("Cannot contact any KDC|Cannot find KDC|Cannot resolve|couldn't discover", SILENT),
    ("Clock skew too great", SKEWED),
    ("no suitable keys|[Kk]ey table file .* not found", NO_KEY),
)


class LoginError(StepError):
    """Kerberos refused a login; `kind` is one of the words of `KERBEROS`, or empty."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


def error(what: str, words: str, hint: str = "") -> FirstbootError:
    """What a failed program's words mean."""
    lines = [line.strip() for line in words.splitlines()]
    said = "; ".join(line for line in lines if line and not line.startswith("Password for"))
    kind = next((kind for pattern, kind in KERBEROS if re.search(pattern, words)), "")
    message = "{}: {}".format(what, said)
    if kind == SILENT:
        return TransientError(message)
    if kind == SKEWED:
        return TransientError(message, "Name time servers (time.servers) in the site document.")
    return LoginError(kind, message, hint)


def hints(me: Membership) -> Tuple[Dict[str, str], Dict[str, str]]:
    """What to do next by kind of a refused login: of the joining account, and of a preset computer account."""
    again = "delete and preset the account (`adcli delete-computer`, `adcli preset-computer`) and give the new password"
    return {
        WRONG: "Correct join.password; each further try counts towards the lock-out of {}.".format(me.user),
        UNKNOWN: "There is no account {} in {}: correct join.user.".format(me.user, me.realm),
        DISABLED: "{} is disabled, locked or out of date: enable it.".format(me.user),
        EXPIRED: "Give {} a new password that does not expire.".format(me.user),
    }, {
        WRONG: "The one-time password is wrong, or it was used already: {}.".format(again),
        UNKNOWN: "Preset it: `adcli preset-computer --domain={} {}`.".format(me.domain, me.fqdn),
        DISABLED: "The account {} is disabled: enable it.".format(me.account),
        EXPIRED: "The one-time password has expired: {}.".format(again),
    }
