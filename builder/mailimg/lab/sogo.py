"""SOGo in a browser, as a user works with it (SOGo 5.8).

Elements are found by the names that SOGo's own scripts know them by (`ng-click`, `ng-model`, icons): these say what
a button does and are the same in every language and theme. Nothing waits for a time: everything waits until the page
shows what it is to show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from mailimg.lab.browser import Chromium
from mailimg.verify.scenarios import CheckFailed

SECONDS = 20.0
POLL_SECONDS = 0.05
CLICK_SECONDS = 3.0  # until a click is tried again
Found = TypeVar("Found")

# The page changes while it is looked at: a list is drawn anew, a dialog slides over a button.
MOVING = (ElementClickInterceptedException, ElementNotInteractableException, NoSuchElementException,
          StaleElementReferenceException, TimeoutException)

USER, PASSWORD = "[ng-model='app.creds.username']", "[ng-model='app.creds.password']"
CONNECT = "form[name=loginForm] [type=submit]"
REFUSED = "#login [ng-switch-when='error']"
FOLDER = "md-list-item.sg-mailbox-list-item:has(md-checkbox.{}) p"  # by its icon
MESSAGE = "md-list-item[sg-message]"
REFRESH = "[ng-click='mailbox.refresh()']"
QUOTA = ".sg-quota .sg-md-caption"
MORE = "md-fab-trigger button"  # what is behind the round button
WRITE = "[ng-click='mailbox.newMessage($event)']"
EDITOR = "#mailEditor"
RECIPIENT = f"{EDITOR} [ng-model='editor.message.editable.to']"
SUGGESTED = ".md-autocomplete-suggestions li"
TEXT = f"{EDITOR} iframe.cke_wysiwyg_frame"
SEND = f"{EDITOR} [ng-click='editor.send()']"
NOT_SENT = f"{EDITOR} [ng-switch-when='error']"
APPOINT = "[ng-click=\"list.newComponent($event, 'appointment')\"]"
TITLE = "[ng-model='editor.component.summary']"
EVENT = "form[name=eventForm]"
MAILER = "[ng-click=\"app.go('mailer', preferencesForm)\"]"
VACATION = "md-checkbox[ng-model='app.preferences.defaults.Vacation.enabled']"
ANSWER = "#autoReplyText"
FILTER = "[ng-click='app.addMailFilter($event, preferencesForm)']"
SAVE = "[ng-click='app.save(preferencesForm)']"

FOCUSED = "return document.activeElement !== null && document.activeElement.closest(arguments[0]) !== null"
EDITOR_READY = "return Object.values(CKEDITOR.instances).some(one => one.status === 'ready')"
TAB_OF = "return document.querySelector(arguments[0]).closest('md-tab-content').id.replace('content', 'item')"


class Sogo:
    """The webmail at a URL, seen through a browser.

    Args:
        seconds: how long the page may take to show what is waited for.
    """

    def __init__(self, chromium: Chromium, url: str, seconds: float = SECONDS) -> None:
        self.chromium = chromium
        self.driver = chromium.driver
        self.url = url.rstrip("/")
        self.seconds = seconds

    # The page

    def until(self, condition: Callable[[], Found], what: str, seconds: float = 0.0) -> Found:
        """The first true value of a condition.

        Raises:
            CheckFailed: there was none in time.
        """
        limit = seconds or self.seconds
        waiting = WebDriverWait(self.driver, limit, POLL_SECONDS, ignored_exceptions=MOVING)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            raise CheckFailed(f"{what}: not within {limit:g} s") from None

    def shown(self, selector: str, text: str = "") -> WebElement | None:
        """The first visible element of a CSS selector, with a text in it."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return next((one for one in found if one.is_displayed() and text in one.text), None)

    def see(self, selector: str, text: str = "") -> WebElement:
        """Wait for a visible element."""
        found = self.until(lambda: self.shown(selector, text), f"see {selector}{f' with {text!r}' if text else ''}")
        assert found is not None  # noqa: S101 - `until` returned a true value
        return found

    def click(self, selector: str, text: str = "") -> None:
        """Click as soon as nothing lies over it."""
        def done() -> bool:
            self.see(selector, text).click()
            return True

        self.until(done, f"click {selector}")

    def fill(self, selector: str, text: str) -> None:
        """Type into an empty field."""
        def done() -> bool:
            field = self.see(selector)
            field.clear()
            field.send_keys(text)
            return True

        self.until(done, f"type into {selector}")

    def ask(self, script: str, *arguments: Any) -> Any:
        """What JavaScript in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def go(self, module: str) -> None:
        """Leave for another part by its link: Mail, Calendar, Contacts, Preferences."""
        def moved() -> bool:
            return f"/{module}" in self.driver.current_url

        def gone() -> bool:
            if not moved():
                # A page that still settles takes a click and stays.
                self.click(f"a[href$='{module}']")
                WebDriverWait(self.driver, CLICK_SECONDS, POLL_SECONDS).until(lambda _: moved())
            return True

        self.until(gone, f"open {module}")

    # Coming and going

    def login(self, user: str, password: str) -> str:
        """Log in; returns what the page said when it refused, and nothing when it did not."""
        self.chromium.open(f"{self.url}/")
        self.fill(USER, user)
        self.fill(PASSWORD, password)
        self.click(CONNECT)
        self.until(lambda: self.shown(REFUSED) or self.shown(FOLDER.format("inbox")), "be logged in or refused")
        refused = self.shown(REFUSED)
        return "" if refused is None else self.words(refused)

    def logout(self) -> None:
        """Log out."""
        self.click("a[href$='logoff']")
        self.asks_for_login()

    def asks_for_login(self) -> None:
        """Wait for the login page."""
        self.see(USER)

    def quota(self) -> str:
        """What the page says of the mailbox's size: `0% used on 1024 MB`."""
        return self.see(QUOTA, "%").text

    def words(self, element: WebElement) -> str:
        """The text of an element in one line, without buttons and the names of icons."""
        others = [other.text for other in element.find_elements(By.CSS_SELECTOR, "md-icon, button")]
        return " ".join(line for line in element.text.splitlines() if line not in others)

    # Mail

    def open_folder(self, icon: str) -> None:
        """Open a folder by its icon: inbox, drafts, send, delete, thumb_down."""
        self.click(FOLDER.format(icon))

    def read(self, subject: str, seconds: float) -> str:
        """Open a message of the present folder, asking for new mail until it is there; returns its text."""
        item = f"{MESSAGE}[aria-label={json.dumps(subject, ensure_ascii=False)}] button[ng-click]"
        asked = float("-inf")

        def there() -> WebElement | None:
            nonlocal asked
            found = self.shown(item)
            # Each question takes a worker, for seconds where mailbox servers are emulated; there are only a few.
            if found is None and time.monotonic() - asked > self.seconds / 5:
                self.click(REFRESH)
                asked = time.monotonic()
            return found

        self.until(there, f"see a message {subject!r} in the folder", seconds)
        self.click(item)
        self.see(".sg-md-headline", subject)
        return self.see(".msg-body").text

    def write(self) -> None:
        """Open the window of a new message, and wait until it has settled: it moves the focus while it opens."""
        self.click(MORE)
        self.click(WRITE)
        self.until(lambda: self.ask(FOCUSED, RECIPIENT) and self.ask(EDITOR_READY), "have an editor for a message")

    def suggestion(self, letters: str) -> str:
        """What the address book offers in a new message for the beginning of a name."""
        self.see(f"{RECIPIENT} input").send_keys(letters)
        offered = self.words(self.see(SUGGESTED, letters))
        self.see(f"{RECIPIENT} input").clear()
        return offered

    def send(self, recipient: str, subject: str, text: str) -> None:
        """Fill in the open window and send.

        Raises:
            CheckFailed: SOGo could not send; with its words.
        """
        # A comma ends an address.
        self.see(f"{RECIPIENT} input").send_keys(f"{recipient},")
        self.until(lambda: self.see(f"{RECIPIENT} md-chip", "@").text == recipient, f"have {recipient} as recipient")
        self.fill(f"{EDITOR} input[name=subject]", subject)
        self.driver.switch_to.frame(self.see(TEXT))
        try:
            body = self.see("body")
            body.click()
            body.send_keys(text)
            self.see("body", text)
        finally:
            self.driver.switch_to.default_content()
        self.until(lambda: self.see(SEND).is_enabled(), "be allowed to send")
        self.click(SEND)
        self.until(lambda: self.shown(NOT_SENT) or not self.driver.find_elements(By.CSS_SELECTOR, EDITOR), "send")
        refused = self.shown(NOT_SENT)
        if refused is not None:
            raise CheckFailed(f"SOGo could not send: {self.words(refused)}")

    # Calendar and preferences

    def appoint(self, title: str) -> None:
        """Make an appointment for now."""
        self.click(MORE)
        self.click(APPOINT)
        self.until(lambda: self.ask(FOCUSED, TITLE), "have an editor for an appointment")
        self.fill(TITLE, title)
        self.click(f"{EVENT} [type=submit]")
        self.until(lambda: not self.driver.find_elements(By.CSS_SELECTOR, EVENT), "save the appointment")

    def mail_preferences(self, selector: str) -> None:
        """Open the tab of the preferences of mail that has an element."""
        if "#!/mailer" not in self.driver.current_url:
            self.go("Preferences")
            self.click(MAILER)
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector), f"have {selector}")
        self.click(f"#{self.ask(TAB_OF, selector)}")
        self.see(selector)

    def open_filters(self) -> None:
        """Open the user's own mail filters."""
        self.mail_preferences(FILTER)

    def set_vacation(self, answer: str) -> None:
        """Turn the vacation answer on, or with no text off, and save it."""
        self.mail_preferences(VACATION)
        wanted = "true" if answer else "false"
        if self.see(VACATION).get_attribute("aria-checked") != wanted:
            self.click(VACATION)
        if answer:
            self.fill(ANSWER, answer)
        self.save()

    def save(self) -> None:
        """Save preferences; SOGo has done it when there is nothing left to be saved."""
        self.until(lambda: self.see(SAVE).is_enabled(), "have something to save")
        self.click(SAVE)
        self.until(lambda: not self.see(SAVE).is_enabled(), "save preferences")
