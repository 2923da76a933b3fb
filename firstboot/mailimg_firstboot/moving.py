"""Sessions of users who are another server's now: Dovecot is asked whose each is, and they are ended.

`MARK` is there from before a change of Dovecot's table until all are known to have moved, whatever fails or is cut off
meanwhile: a user who was not told of goes on here while his mail is filed elsewhere.
"""

import json
from typing import Dict, List, NamedTuple, Set

from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host

# Gone after a boot, as sessions are.
MARK = "/run/mailimg/moving.json"

# Seconds after a change of the table in which a sibling that does not know of it may still pass somebody on to here:
# all who have sessions are asked once more then.
SETTLED = 45.0

# Users whom Dovecot is asked for in one command.
BATCH = 20

# Seconds for one command. While the directory is away the answer takes longer than that, and would not help.
PATIENCE = 5.0

# What doveadm ends with when it did not work now (EX_TEMPFAIL).
FAILED = 75


class Round(NamedTuple):
    """How far it is.

    Args:
        changed: when the table was changed, as the machine's uptime in seconds.
    """

    changed: float


def mark(host: Host) -> None:
    """Say that the table is about to change."""
    _note(host, Round(host.uptime()))


def done(host: Host) -> None:
    """Nobody is to be moved."""
    host.remove(MARK)


def go_on(host: Host, port: int) -> List[str]:
    """End the sessions of those who are another's; the users.

    Args:
        port: any that passes on: all of them do for the same users.

    Raises:
        StepError: Dovecot does not say who has sessions.
    """
    content = host.read(MARK)
    if content is None:
        return []
    now, begun = Round(**json.loads(content.decode("ascii"))), host.uptime()
    ended: List[str] = []
    clear = True
    users = sessions(host)
    for first in range(0, len(users), BATCH):
        some = users[first:first + BATCH]
        told = ask(host, port, some)
        moved = [user for user in some if told.get(user)]
        kicked = [user for user in moved if kick(host, user)]
        clear = clear and kicked == moved and told.keys() >= set(some)
        ended += kicked
    if clear and begun >= now.changed + SETTLED:
        done(host)
    return ended


def sessions(host: Host) -> List[str]:
    """Users who have sessions on this server, in order."""
    shown = host.run(["doveadm", "-f", "tab", "who", "-1"], "ask Dovecot for its sessions", PATIENCE)
    rows = [line.split("\t") for line in shown.out.decode("utf-8", "replace").splitlines()[1:]]
    return sorted({row[0] for row in rows if row[0]})


def ask(host: Host, port: int, users: List[str]) -> Dict[str, bool]:
    """Whether users are another's; without those whom Dovecot gave no clear answer for."""
    try:
        # Its status is that of one of them.
        told = host.run(["doveadm", "auth", "lookup", "-x", "service=imap", "-x", "lport={}".format(port), *users],
                        "ask Dovecot whose server is whose", PATIENCE, check=False)
    except StepError:
        return {}
    return answers(told.out.decode("utf-8", "replace") + "\n" + told.err, set(users))


def answers(text: str, users: Set[str]) -> Dict[str, bool]:
    """What `doveadm auth lookup` says of users: passed on, or not; one whom the directory does not know is not.

    A look-up that failed is no answer (`passdb lookup failed for ...`).
    """
    found: Dict[str, bool] = {}
    user = ""
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        words = value.split()
        if name == "passdb":
            user = value
            found[user] = False
        elif name == "passdb lookup" and words[:1] == ["user"] and words[2:] == ["doesn't", "exist"]:
            found[words[1]] = False
        elif name == "proxy" and user:
            found[user] = True
    return {name: passed_on for name, passed_on in found.items() if name in users}


def kick(host: Host, user: str) -> bool:
    """End a user's sessions; whether that worked, or there are none left."""
    try:
        return host.run(["doveadm", "kick", user], "end the sessions of {}".format(user), PATIENCE,
                        check=False).status != FAILED
    except StepError:
        return False


def _note(host: Host, now: Round) -> None:
    host.write(MARK, json.dumps(now._asdict(), sort_keys=True).encode("ascii"))
