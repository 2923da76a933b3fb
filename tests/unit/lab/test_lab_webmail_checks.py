"""The webmail's checks, without a browser."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mailimg import doctor, process
from mailimg.errors import StepError
from mailimg.lab import browser
from mailimg.lab.checks import Bench, CheckFailed, webmail
from mailimg.lab.screen import picture_name
from mailimg.lab.state import State


def bench(folder: Path) -> Bench:
    """A bench of which nothing is used that is not here."""
    return Bench(plan=None, state=State("t", folder), passwords={}, nodes={},  # type: ignore[arg-type]
                 sender=None, receiver=None)  # type: ignore[arg-type]


def test_browser_first_and_its_console_last() -> None:
    names = [name for name, _ in webmail.checks()]
    assert len(set(names)) == len(names) == 12
    assert (names[0], names[-1]) == ("a browser starts", "no page met an error")


@pytest.mark.parametrize(("number", "name", "mark", "file"), [
    (3, "mail that came in is read", "", "03-mail-that-came-in-is-read.png"),
    (12, "signed, as the user's", "FAILED", "12-signed-as-the-user-s-FAILED.png"),
])
def test_names_of_screenshots(number: int, name: str, mark: str, file: str) -> None:
    assert picture_name(number, name, mark) == file


def test_without_a_browser_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "which", lambda name: None if name.startswith("chrom") else f"/usr/bin/{name}")
    (_, first), (_, second), *_, (_, last) = webmail.checks()
    with pytest.raises(StepError) as caught:
        first(bench(tmp_path))
    assert caught.value.message == "this host lacks chromium, chromedriver"
    assert caught.value.hint == "Install with: apt-get install chromium chromium-driver"
    for check in (second, last):
        with pytest.raises(CheckFailed, match=r"^there is no browser$"):
            check(bench(tmp_path))


def test_without_selenium_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setitem(sys.modules, "mailimg.lab.browser", None)
    with pytest.raises(StepError) as caught:
        webmail.checks()[0][1](bench(tmp_path))
    assert caught.value.message.startswith("the webmail cannot be tried: ")
    assert caught.value.hint == "pip install 'mailimg[webmail]'"


def test_only_this_check_wants_a_browser() -> None:
    wanted = {tool.package: tool.purpose for tool in doctor.all_tools() if tool.purpose == doctor.WEBMAIL}
    assert wanted == dict.fromkeys(("chromium", "chromium-driver", "libnss3-tools"), "lab test --only webmail")


def test_nothing_is_switched_off_in_the_browser() -> None:
    """Neither its sandbox nor the check of certificates."""
    text = Path(browser.__file__).read_text()
    assert "--headless" in text
    assert not [word for word in ("no-sandbox", "ignore-certificate", "insecure", "web-security") if word in text]
