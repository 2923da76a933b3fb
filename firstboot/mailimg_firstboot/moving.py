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

# Seconds after which a run of mailimg-siblings.timer begins no other command; more than two may take, so that each run
# comes further. With the 15 s to the next run, its report is never later than the others wait for it.
WORK = 12.0

# What doveadm ends with when it did not work now (EX_TEMPFAIL).
FAILED = 75


class Round(NamedTuple):
    """How far it is.

    Args:
        changed: when the table was changed, as the machine's uptime in seconds.
        begun: when the first of the users was asked for.
        after: the last user who was; empty: nobody yet.
        clear: whether Dovecot has said of each of them whose he is.
    """

    changed: float
    begun: float = 0.0
    after: str = ""
    clear: bool = True


class Moved(NamedTuple):
    """What was done.

    Args:
        users: those whose sessions were ended.
        whole: whether all were asked for, and gave a clear answer.
    """

    users: List[str]
    whole: bool


def mark(host: Host) -> None:
    """Say that the table is about to change."""
    _note(host, Round(host.uptime()))


def done(host: Host) -> None:
    """Nobody is to be moved."""
    host.remove(MARK)


def go_on(host: Host, port: int, seconds: float = WORK, running: bool = True) -> Moved:
    """End the sessions of those who are another's, from where the last run stopped.

    Args:
        port: any that passes on: all of them do for the same users.
        seconds: after which no other command is begun.
        running: whether Dovecot serves. Where it does not, it may have ended, and its sessions with it.

    Raises:
        StepError: Dovecot serves, and does not say who has sessions.
    """
    content, start = host.read(MARK), host.uptime()
    if content is None:
        return Moved([], True)
    now = Round(**json.loads(content.decode("ascii")))
    if not now.after:
        now = now._replace(begun=start, clear=True)
    ended: List[str] = []
    try:
        users = [user for user in sessions(host) if user > now.after]
    except StepError:
        if running:
            raise
        return Moved([], False)
    told: Dict[str, bool] = {}
    for number, user in enumerate(users):
        asking = number % BATCH == 0
        # The first is always asked for.
        if number and (asking or told.get(user)) and host.uptime() - start >= seconds:
            _note(host, now)
            return Moved(ended, False)
        if asking:
            told = ask(host, port, users[number:number + BATCH])
        clear = user in told
        if told.get(user):
            clear = kick(host, user)
            ended += [user] if clear else []
        now = now._replace(after=user, clear=now.clear and clear)
    if now.clear and now.begun >= now.changed + SETTLED:
        done(host)
    else:
        _note(host, now._replace(after=""))
    return Moved(ended, now.clear)


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
