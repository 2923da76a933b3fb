"""What a browser shows while checks use it: a screenshot of each, and all that it can tell of one that fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mailimg.errors import StepError
from mailimg.lab.browser import Chromium
from mailimg.verify.scenarios import CheckFailed


class Screen:
    """A browser's window.

    Args:
        folder: where screenshots go.

    Attributes:
        errors: lines of the console that tell of a failure.
    """

    def __init__(self, chromium: Chromium, folder: Path) -> None:
        self.chromium = chromium
        self.folder = folder
        self.errors: list[str] = []

    def watch(self, number: int, name: str, check: Callable[[], str]) -> str:
        """Run a check, and keep what is on the screen at its end.

        Raises:
            CheckFailed: as the check, or the browser, failed; further lines name screenshot, URL and console.
        """
        try:
            with self.chromium.failures("use the browser"):
                detail = check()
        except (CheckFailed, StepError) as found:
            words = found.message if isinstance(found, StepError) else str(found)
            told = self.keep(self.folder / picture_name(number, name, "FAILED"))
            raise CheckFailed("\n".join([words, *told])) from None
        self.keep(self.folder / picture_name(number, name))
        return detail

    def keep(self, picture: Path) -> list[str]:
        """Take a screenshot; returns the URL, where the screenshot is, and what the console says, a line each."""
        try:
            with self.chromium.failures("take a screenshot"):
                self.chromium.driver.save_screenshot(str(picture))
                console, place = self.chromium.console(), self.chromium.driver.current_url
        except StepError as error:
            return [error.message, *error.tail]
        self.errors += [line for line in console if line.startswith("SEVERE ")]
        return [f"page: {place}", f"screenshot: {picture}", *(f"console: {line}" for line in console)]


def picture_name(number: int, name: str, mark: str = "") -> str:
    """The file of a check's screenshot: `03-mail-that-came-in-is-read.png`."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{number:02d}-{words}{f'-{mark}' if mark else ''}.png"
