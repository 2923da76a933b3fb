"""Runs in namespaces of its own: real mail through real nodes; then the nodes' logs, and what was sent."""

from __future__ import annotations

import json
import smtplib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trace_site import Member, Site

from mailimg.clients import letters
from mailimg.machines import network
from mailimg.peers import addresses as at
from mailimg.peers.authority import ssh_key
from mailimg.peers.directory import USERS

SENDER = f"sender@{at.SENDER_DOMAIN}"
FOREIGN = f"someone@{at.FOREIGN_DOMAIN}"
NOWHERE = "someone@no-such-domain.example"
ANNA, BELA, CARLA = USERS
LIST = f"all@{at.DOMAIN}"
SECONDS = 60.0
# SYSLOG_FACILITY 2 is mail. What clamav-milter and sogod write to standard output has no facility.
JOURNAL = ("journalctl", "--no-pager", "SYSLOG_FACILITY=2", "+", "_SYSTEMD_UNIT=clamav-milter.service")
FORMS = ("json", "short-iso", "short-iso-precise", "short", "short-full")


def until(what: str, ask: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


class Play:
    """Mail through the nodes; `sent` names each message."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.sent: dict[str, str] = {}

    def member(self, role: str) -> Member:
        """A node."""
        return self.site.members[role]

    def says(self, role: str, text: str) -> bool:
        """Whether a node's log has a text."""
        return text in self.member(role).node.ask([*JOURNAL, "-o", "cat"])

    def come(self, name: str, letter: letters.Letter, *recipients: str, sender: str = SENDER) -> None:
        """A message from the Internet; recipients may be refused."""
        self.sent[name] = letter.message_id
        with smtplib.SMTP(self.member("smtp-in").address, 25, at.SENDER_NAME, 30, (at.SENDER4, 0)) as client:
            client.sendmail(sender, recipients, letter.content)

    def submit(self, name: str, letter: letters.Letter, *recipients: str) -> str:
        """A message of anna's; what was said when it was refused."""
        self.sent[name] = letter.message_id
        with smtplib.SMTP(self.member("smtp-out").address, 587, "pc-17.home", 30, (at.SENDER4, 0)) as client:
            client.starttls(context=self.site.platform.client_tls())
            client.login(ANNA.login, self.site.directory.password)
            try:
                client.sendmail(ANNA.mail, recipients, letter.content)
            except smtplib.SMTPException as error:
                return str(error)
        return ""


def inbound(play: Play) -> None:
    """From the Internet into mailboxes, or not."""
    play.come("clean", letters.clean(ANNA.mail), ANNA.mail)
    play.come("list", letters.clean(LIST), LIST)
    play.come("mixed", letters.clean(ANNA.mail), f"nobody@{at.DOMAIN}", ANNA.mail, f"no.one@{at.DOMAIN}", BELA.mail)
    play.come("spam", letters.spam(ANNA.mail), ANNA.mail)
    play.come("virus", letters.virus(ANNA.mail), ANNA.mail)
    play.come("marked", letters.letter("offer", BELA.mail, b"buy\r\n"), BELA.mail)
    big = b"x" * 70 + b"\r\n"
    play.come("first", letters.letter("first", CARLA.mail, big * (CARLA.quota * 2 // 3 // 72)), CARLA.mail)
    until("the first is there", lambda: play.says("pop-imap-lda", play.sent["first"]))
    play.come("full", letters.letter("second", CARLA.mail, big * (CARLA.quota * 2 // 3 // 72)), CARLA.mail, ANNA.mail)
    until("the full mailbox refuses", lambda: play.says("smtp-in", "Mailbox is full"))


def rare(play: Play) -> None:
    """Straight to the mailboxes, and with names so long that amavis cuts its line."""
    junk = letters.letter("offer", ANNA.mail, b"buy\r\n", "X-Spam-Flag: YES")
    play.sent["junk"] = junk.message_id
    with smtplib.SMTP(play.member("pop-imap-lda").address, 25, at.SENDER_NAME, 30, (at.HOST4, 0)) as client:
        client.sendmail(SENDER, [ANNA.mail], junk.content)
    plain = letters.letter("long", ANNA.mail, b"long\r\n")
    message_id = f"<{'long-' * 150}1@{at.SENDER_DOMAIN}>"
    long = letters.Letter(message_id, plain.content.replace(plain.message_id.encode(), message_id.encode()))
    play.come("long", long, ANNA.mail, BELA.mail, LIST, sender=f"{'l' * 60}@{at.SENDER_DOMAIN}")


def outbound(play: Play) -> None:
    """From a user, outside and inside."""
    play.submit("out", letters.clean(FOREIGN, ANNA.mail), FOREIGN, BELA.mail)
    play.submit("infected", letters.virus(FOREIGN), FOREIGN)
    play.submit("nowhere", letters.clean(NOWHERE, ANNA.mail), NOWHERE)
    until("the bounce is there", lambda: play.says("smtp-out", "non-delivery notification"))


def forwarded(play: Play) -> None:
    """Bela's own filter sends mail on."""
    (home,) = play.member("pop-imap-lda").storage.glob("*/bela*")
    inside = "/MAILBOXES/" + str(home.relative_to(play.member("pop-imap-lda").storage))
    file = inside + "/.dovecot.sieve"
    script = f"printf 'redirect \"{FOREIGN}\";' > {file} && chown 5000:5000 {file}"
    play.member("pop-imap-lda").node.ask(["sh", "-c", script])
    play.come("forwarded", letters.clean(BELA.mail), BELA.mail)
    until("it goes on", lambda: play.site.platform.internet.find(play.sent["forwarded"]) is not None)


def queued(play: Play) -> dict[str, str]:
    """Queue ids of deferred messages of smtp-in's, by sender."""
    lines = play.member("smtp-in").node.ask(["postqueue", "-j"]).splitlines()
    entries = [json.loads(line) for line in lines]
    return {entry["sender"]: entry["queue_id"] for entry in entries
            if entry["queue_name"] == "deferred" and entry["sender"] != SENDER}


def waiting(play: Play) -> None:
    """The next hop is away; then the filter."""
    box, mx = play.member("pop-imap-lda").node, play.member("smtp-in").node
    box.ask(["systemctl", "stop", "postfix"])
    for name in ("deferred", "requeued", "deleted", "expired", "held"):
        play.come(name, letters.clean(ANNA.mail), ANNA.mail, sender=f"{name}@{at.SENDER_DOMAIN}")
    until("all are deferred", lambda: len(queued(play)) == 5)
    ids = queued(play)
    for option, name in (("-r", "requeued"), ("-d", "deleted"), ("-e", "expired"), ("-h", "held")):
        mx.ask(["postsuper", option, ids[f"{name}@{at.SENDER_DOMAIN}"]])
    # A requeued message becomes another one before the queue is looked through again.
    until("it has another id", lambda: play.says("smtp-in", f"orig_id={ids[f'requeued@{at.SENDER_DOMAIN}']}"))
    mx.ask(["postqueue", "-f"])
    until("it is given up", lambda: play.says("smtp-in", "non-delivery notification"))
    box.ask(["systemctl", "start", "postfix"])
    mx.ask(["systemctl", "stop", "amavis"])
    play.come("unfiltered", letters.clean(ANNA.mail), ANNA.mail)
    until("the filter is away", lambda: play.says("smtp-in", "connect to 127.0.0.1[127.0.0.1]:10024"))
    mx.ask(["systemctl", "start", "amavis"])

    def there() -> bool:
        # The filter needs some seconds until it listens.
        mx.ask(["postqueue", "-f"])
        return all(play.says("pop-imap-lda", play.sent[name]) for name in ("deferred", "unfiltered"))

    until("both are there", there)


SCENES: dict[str, Callable[[Play], None]] = {
    "inbound": inbound, "rare": rare, "outbound": outbound, "forwarded": forwarded, "waiting": waiting,
}


def logs(play: Play, folder: Path) -> None:
    """Each node's log, in each form."""
    folder.mkdir()
    for member in play.site.members.values():
        for form in FORMS:
            (folder / f"{member.name}.{form}.log").write_text(member.node.ask([*JOURNAL, "-o", form]))


def main() -> None:
    folder, trees, wanted = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3].split(",")
    network.lay("nspawn")
    _, public = ssh_key(folder)
    site = Site(folder, trees)
    try:
        site.start(public)
        play = Play(site)
        try:
            for name in wanted:
                SCENES[name](play)
            time.sleep(2)
        finally:
            logs(play, folder / "logs")
        sys.stdout.write(json.dumps(play.sent))
    finally:
        site.stop()


if __name__ == "__main__":
    main()
