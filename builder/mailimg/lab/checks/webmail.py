"""The webmail as its users see it: SOGo in a real browser, through the balancer, with mail that comes in and goes out.

Each check leaves a screenshot in the lab's folder. One that fails names it, the page's URL, and what the
browser wrote to its console meanwhile.
"""

from __future__ import annotations

import email
import email.message
import email.policy
import email.utils
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dkim

from mailimg import doctor
from mailimg.clients import letters, smtp
from mailimg.errors import StepError
from mailimg.lab import addresses as at
from mailimg.lab import balancer
from mailimg.lab.checks import Bench, Check, CheckFailed, until
from mailimg.lab.checks.mail import BELA, CARLA, FOREIGN, queues, taken
from mailimg.lab.internet import Arrival

# Without Selenium there are no other checks missing than these.
if TYPE_CHECKING:
    from mailimg.lab.browser import Chromium
    from mailimg.lab.screen import Screen
    from mailimg.lab.sogo import Sogo

# His login is not the first half of his address.
USER, COLLEAGUE = BELA, CARLA
TEXT = "Grüße aus Győr: der Bericht für März ist fertig."
HEADERS = ("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
# What SOGo answers where there is none of something, and what its package lacks.
KNOWN = ("/SOGo/so/passwordRecoveryEnabled - ", "/activeExternalSieveScripts - ", "/autocomplete/skins/default.css")


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this group: one user's visit, with one browser, in this order."""
    visit = Visit()
    steps: list[tuple[str, Check]] = [
        ("a wrong password shows an error", visit.wrong_password),
        ("a user of the domain logs in and sees the quota", visit.logs_in),
        ("mail that came in is read", visit.reads),
        ("mail that is written arrives outside, signed, as the user's", visit.writes),
        ("what was sent is in Sent", visit.sent_is_kept),
        ("an appointment is there after a reload", visit.appoints),
        ("a vacation answer reaches the sender", visit.answers),
        ("mail filters open", visit.filters),
        ("each mailbox server alone shows the mail", visit.each_server),
        ("nothing is shown after the logout", visit.logs_out),
    ]
    watched = [(name, visit.watched(number, name, check)) for number, (name, check) in enumerate(steps, 1)]
    return (("a browser starts", visit.starts), *watched, ("no page met an error", visit.no_error))


class Visit:
    """A user's visit.

    Attributes:
        token: makes this visit's texts unlike those of others.
    """

    chromium: Chromium
    sogo: Sogo

    def __init__(self) -> None:
        self.token = secrets.token_hex(3)
        self.screen: Screen | None = None
        self.logged_in = False
        self.done: set[str] = set()  # subjects of messages that were read or sent

    def starts(self, bench: Bench) -> str:
        """Chromium, for which no other check has a need."""
        doctor.missing_tools(doctor.WEBMAIL)
        try:
            from mailimg.lab.browser import Chromium
            from mailimg.lab.screen import Screen
            from mailimg.lab.sogo import Sogo
        except ImportError as error:
            raise StepError(f"the webmail cannot be tried: {error}", "pip install 'mailimg[webmail]'") from error
        folder = bench.state.screenshots
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        # `no_error` ends it, which runs whatever fails before.
        self.chromium = Chromium(folder, bench.state.authority).__enter__()
        self.sogo = Sogo(self.chromium, f"https://{bench.host('webmail')}", 60.0 if bench.emulated else 20.0)
        self.screen = Screen(self.chromium, folder)
        return str(self.chromium.driver.capabilities["browserVersion"])

    def watched(self, number: int, name: str, check: Check) -> Check:
        """The check, of which screen and console are kept."""
        def run(bench: Bench) -> str:
            if self.screen is None:
                raise CheckFailed("there is no browser")
            return self.screen.watch(number, name, lambda: check(bench))

        return run

    def inbox(self) -> None:
        """Be in the inbox."""
        if not self.logged_in:
            raise CheckFailed("nobody is logged in")
        self.sogo.go("Mail")
        self.sogo.open_folder("inbox")

    def again(self, bench: Bench, subject: str) -> str:
        """A message that this visit has read or sent is in the present folder."""
        if subject not in self.done:
            raise CheckFailed(f"there has been no {subject!r}")
        seen(self.sogo.read(subject, bench.patience))
        return subject

    def wrong_password(self, bench: Bench) -> str:
        """The page says so, and nobody is in."""
        said = self.sogo.login(USER.login, f"not-{bench.password}")
        if not said:
            raise CheckFailed("logged in with a wrong password")
        # The 403 of this login belongs there.
        self.chromium.console()
        return said

    def logs_in(self, bench: Bench) -> str:
        """By sAMAccountName; the quota comes by IMAP."""
        said = self.sogo.login(USER.login, bench.password)
        if said:
            raise CheckFailed(f"refused: {said}")
        self.logged_in = True
        quota = self.sogo.quota()
        if not re.search(rf"\b{USER.quota >> 20} MB", quota):
            raise CheckFailed(f"of {USER.quota >> 20} MB the page says {quota!r}")
        return f"{USER.login}: {quota}"

    def reads(self, bench: Bench) -> str:
        """Every letter of its text is on the page."""
        self.inbox()
        subject = come_in(bench, f"Bericht {self.token}")
        seen(self.sogo.read(subject, bench.patience))
        self.done.add(subject)
        return subject

    def writes(self, bench: Bench) -> str:
        """After a look into the address book, which is the directory."""
        self.inbox()
        self.sogo.write()
        found = self.sogo.suggestion(COLLEAGUE.login)
        if COLLEAGUE.mail not in found:
            raise CheckFailed(f"for {COLLEAGUE.login} the address book offers {found!r}")
        self.sogo.send(FOREIGN, f"Größe {self.token}", TEXT)
        self.done.add(f"Größe {self.token}")
        got, parsed = went_out(bench, f"Größe {self.token}")
        written = [email.utils.parseaddr(str(parsed["From"]))[1], got.sender, *got.recipients]
        if written != [USER.mail, USER.mail, FOREIGN]:
            raise CheckFailed(f"From, envelope sender and recipients are {', '.join(written)}")
        seen(text_of(parsed))
        if any(address.encode() in got.content for address in (at.PREFIX4, at.PREFIX6)):
            raise CheckFailed(f"outside it tells addresses of the inside:\n{got.content.decode(errors='replace')}")
        return f"{parsed['From']}, signed"

    def sent_is_kept(self, bench: Bench) -> str:
        """Put there by IMAP."""
        self.inbox()
        self.sogo.open_folder("send")
        return self.again(bench, f"Größe {self.token}")

    def appoints(self, bench: Bench) -> str:
        """By then it comes from the database."""
        self.inbox()
        self.sogo.go("Calendar")
        title = f"Gespräch {self.token}"
        self.sogo.appoint(title)
        self.sogo.driver.refresh()
        self.sogo.see(".sg-event", title)
        return title

    def answers(self, bench: Bench) -> str:
        """Sieve through the balancer; afterwards it is off again."""
        self.inbox()
        answer = f"Ich bin im Urlaub. {self.token}"
        self.sogo.set_vacation(answer)
        try:
            subject = come_in(bench, f"Frage {self.token}")
            _, parsed = went_out(bench, subject)
        finally:
            self.sogo.set_vacation("")
        if answer not in text_of(parsed):
            raise CheckFailed(f"the answer is {text_of(parsed)!r}")
        return str(parsed["Subject"])

    def filters(self, bench: Bench) -> str:
        """The page with the user's own rules."""
        self.inbox()
        self.sogo.open_filters()
        return self.sogo.driver.current_url

    def each_server(self, bench: Bench) -> str:
        """With the others out of the balancer's pool."""
        servers = [node.name for node in bench.of("pop-imap-lda")]
        for name in servers:
            with alone(bench, [other for other in servers if other != name]):
                self.inbox()
                self.sogo.driver.refresh()
                self.again(bench, f"Bericht {self.token}")
        return ", ".join(servers)

    def logs_out(self, bench: Bench) -> str:
        """Back does not help, and neither does the address."""
        self.inbox()
        place = self.sogo.driver.current_url
        # On leaving a folder its page asks for one thing more, after a logout in vain.
        self.sogo.go("Calendar")
        self.sogo.logout()
        self.chromium.open(place)
        self.sogo.asks_for_login()
        return place

    def no_error(self, bench: Bench) -> str:
        """But where SOGo says by it that there is none of something. Ends the browser."""
        if self.screen is None:
            raise CheckFailed("there is no browser")
        self.chromium.stop()
        found = [line for line in self.screen.errors if not any(known in line for known in KNOWN)]
        if found:
            raise CheckFailed("\n".join(found))
        return f"screenshots: {self.screen.folder}"


def seen(text: str) -> None:
    """The message's text is in another."""
    if TEXT not in text:
        raise CheckFailed(f"the text is {text!r}")


def come_in(bench: Bench, subject: str) -> str:
    """A message from the Internet to the user, which may be answered; returns its subject."""
    sent = letters.letter(subject, USER.mail, f"{TEXT}\r\n".encode(), *HEADERS, sender=FOREIGN)
    taken(smtp.deliver(bench.address("smtp-in"), at.RECEIVER4, FOREIGN, USER.mail, sent.content))
    return subject


def went_out(bench: Bench, subject: str) -> tuple[Arrival, email.message.EmailMessage]:
    """Wait for a message at the receiving host; its signature must hold."""
    found: list[tuple[Arrival, email.message.EmailMessage]] = []

    def arrived() -> bool:
        for one in bench.receiver.all():
            parsed = email.message_from_bytes(one.content, policy=email.policy.default)
            if subject in str(parsed["Subject"]):
                found.append((one, parsed))
        return bool(found)

    if not until(arrived, bench.patience, 0.2):
        raise CheckFailed(f"{subject!r} did not arrive within {bench.patience:g} s; queues:\n{queues(bench)}")
    try:
        good = dkim.verify(found[0][0].content)
    except dkim.DKIMException as error:
        raise CheckFailed(f"DKIM: {error}") from error
    if not good:
        raise CheckFailed("the DKIM signature does not hold")
    return found[0]


def text_of(message: email.message.EmailMessage) -> str:
    """Its plain text."""
    body = message.get_body(("plain",))
    return "" if body is None else str(body.get_content())


@contextmanager
def alone(bench: Bench, others: Sequence[str]) -> Iterator[None]:
    """Take servers out of the balancer's pools for IMAP and Sieve, and put them back."""
    folder = bench.peer_folder("balancer")
    listeners = [f"imap.{port.name}" for port in bench.plan.vip("imap").ports]
    places = [f"{listener}/{name}" for listener in listeners for name in others]
    try:
        for place in places:
            balancer.order(folder, f"set server {place} state maint")
            balancer.order(folder, f"shutdown sessions server {place}")
        yield
    finally:
        for place in places:
            balancer.order(folder, f"set server {place} state ready")
