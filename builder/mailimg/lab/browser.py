"""A browser as a user has it: Chromium without a window, driven by WebDriver (chromedriver, Selenium).

    with Chromium(folder, authority) as chromium:
        chromium.open("https://webmail.example.org/")

Beside the authorities it came with it trusts one more, by a certificate database of its own. It runs as a user without
rights and within its sandbox, which takes user namespaces. Processes and profile are in namespaces of their own: they
vanish with it, however it ends.
"""

from __future__ import annotations

import pwd
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.common.proxy import Proxy
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.webdriver import WebDriver

from mailimg import process
from mailimg.errors import StepError
from mailimg.peers.daemon import START_SECONDS, Daemon

USER = "nobody"
WINDOW = (1280, 1000)  # pixels
PAGE_SECONDS = 60.0
ANSWER_SECONDS = 90  # of chromedriver: longer than a page may take
PORT = re.compile(r"started successfully on port (\d+)")

# Words: numbers of user and group. The authority's certificate comes by standard input.
RUN = """\
set -eu
mount -t tmpfs -o "mode=0700,uid=$1,gid=$2" none /tmp
export HOME=/tmp
cd /tmp
unprivileged="setpriv --reuid=$1 --regid=$2 --clear-groups --no-new-privs"
$unprivileged mkdir -p .pki/nssdb
$unprivileged certutil -d sql:.pki/nssdb -N --empty-password
$unprivileged certutil -d sql:.pki/nssdb -A -t C,, -n site
exec $unprivileged chromedriver --port=0
"""


class Chromium(Daemon):
    """One browser with an empty profile.

    Args:
        folder: where chromedriver's log goes; must exist.
        authority: file with the certificate that those of the pages chain to.

    Attributes:
        driver: Selenium's; there after `start`.
    """

    driver: WebDriver

    def __init__(self, folder: Path, authority: Path) -> None:
        super().__init__("chromedriver", folder)
        self.authority = authority

    def start(self) -> None:
        """Start chromedriver, and by it the browser.

        Raises:
            StepError: one of them is not installed, or does not start.
        """
        options = Options()
        for argument in ("--headless=new", "--disable-gpu", f"--window-size={WINDOW[0]},{WINDOW[1]}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        user = pwd.getpwnam(USER)
        inner = ["sh", "-c", RUN, "browser", str(user.pw_uid), str(user.pw_gid)]
        self.log.unlink(missing_ok=True)
        with self.log.open("ab") as log, self.authority.open("rb") as authority:
            self.process = process.start(process.confine(inner), what="start chromedriver",
                                         stdin=authority, stdout=log, stderr=process.STDOUT)
        with self.failures("start the browser"):
            address = f"http://127.0.0.1:{self._port()}"
            # No proxy of the environment leads to loopback.
            settings = ClientConfig(address, proxy=Proxy({"proxyType": "DIRECT"}), timeout=ANSWER_SECONDS)
            self.driver = WebDriver(address, options=options, client_config=settings)
            self.driver.set_page_load_timeout(PAGE_SECONDS)

    def __enter__(self) -> Chromium:
        """Start it; what is half started is ended."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """End it."""
        self.stop()

    def stop(self) -> None:
        """End browser and driver; there is nothing that they would have to save."""
        if self.process is not None:
            process.kill_group(self.process, grace=0)
            self.process = None

    @contextmanager
    def failures(self, what: str) -> Iterator[None]:
        """Raise what goes wrong within as StepError."""
        try:
            yield
        except WebDriverException as error:
            words = (error.msg or type(error).__name__).splitlines()[0]
            raise StepError(f"{what}: {words}", tail=self.tail()) from error

    def open(self, url: str) -> None:
        """Open a page.

        Raises:
            StepError: the browser shows a page of its own instead, because nobody answers or the certificate is wrong.
        """
        with self.failures(f"open {url}"):
            self.driver.get(url)
            if self.driver.execute_script("return location.protocol") == "chrome-error:":
                words = self.driver.find_element("tag name", "body").text.splitlines()
                codes = [word for word in words if word.startswith(("NET::", "ERR_"))]
                raise StepError(f"open {url}: {', '.join(codes) or words[0]}")

    def console(self) -> list[str]:
        """What pages and network wrote to the console since it was asked last, a line each."""
        told = self.driver.execute("getLog", {"type": "browser"})["value"]
        return [f"{entry['level']} {entry['message']}" for entry in told]

    def _port(self) -> int:
        """Where chromedriver listens, as it says itself."""
        deadline = time.monotonic() + START_SECONDS
        while (said := PORT.search(self.log.read_text(errors="replace"))) is None:
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise StepError("start chromedriver: it does not listen", tail=self.tail())
            time.sleep(0.02)
        return int(said[1])
