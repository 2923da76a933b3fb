"""Dovecot's commands, as the agent asks them: who is logged in, whose each is, and who is to log in anew."""

from typing import Any, List, Set

import pytest
from firstboot_machine import FakeHost

from mailimg_firstboot.errors import StepError
from mailimg_firstboot.programs import Completed


class Doveadm:
    """A Dovecot that anna and bela use, of whom anna is another's.

    Attributes:
        sessions: users who are logged in.
        elsewhere: users who are another server's.
        unknown: users whom the directory does not know.
        away: users whom it gives no answer for.
        stuck: commands of these words do not end.
        asked: what was asked, without the program's name.
        uptime: of the machine; each command takes `each` seconds.
    """

    def __init__(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sessions: Set[str] = {"anna", "bela"}
        self.elsewhere: Set[str] = {"anna"}
        self.unknown: Set[str] = set()
        self.away: Set[str] = set()
        self.stuck: Set[str] = set()
        self.asked: List[List[str]] = []
        self.uptime = 100.0
        self.each = 0.0
        monkeypatch.setattr(host, "run", self.run)
        monkeypatch.setattr(host, "uptime", lambda: self.uptime)

    def run(self, argv: List[str], what: str, timeout: float = 60.0, **_: Any) -> Completed:
        """One command."""
        assert argv[0] == "doveadm"
        self.asked.append(argv[1:])
        if self.stuck & set(argv):
            self.uptime += timeout
            raise StepError("{}: no end after {:g} s".format(what, timeout))
        self.uptime += self.each
        if argv[1] == "kick":
            self.sessions.discard(argv[2])
            return Completed(0, b"kicked connections from the following users:\n", "")
        if argv[1] == "-f":
            rows = ["{}\timap\t7\t10.0.0.9\n".format(user) for user in sorted(self.sessions)]
            return Completed(0, ("username\tproto\tpid\tip\n" + "".join(rows)).encode(), "")
        return self.looked_up(argv[7:])

    def looked_up(self, users: List[str]) -> Completed:
        """What `auth lookup` says; its status is that of the last user who has not a plain answer."""
        status, out, err = 0, [], []
        for user in users:
            if user in self.away:
                status = 75
                err.append("Error: passdb lookup failed for {}".format(user))
            elif user in self.unknown:
                status = 67
                out.append("passdb lookup: user {} doesn't exist".format(user))
            else:
                out += ["passdb: " + user, "  user      : " + user]
                out += ["  proxy     : y", "  host      : imap.example.org"] if user in self.elsewhere else []
        return Completed(status, "\n".join([*out, ""]).encode(), "\n".join(err))
