"""Runs inside a lab: what the webmail's pages say when servers behind it fail.

    python webmail_inside.py NAME FOLDER    one JSON object on standard output: fault -> what was seen
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailimg.errors import StepError
from mailimg.lab import balancer, checks
from mailimg.lab.browser import Chromium
from mailimg.lab.checks import Bench, CheckFailed, until
from mailimg.lab.checks.mail import BELA, FOREIGN
from mailimg.lab.screen import Screen
from mailimg.lab.sogo import Sogo
from mailimg.lab.state import State

OUT = ("cd /etc/postfix && cp -p certificate.pem key.pem /run/ && openssl req -x509 -newkey rsa:2048 -nodes"
       " -keyout key.pem -out certificate.pem -subj /CN=smtp-out.cloud.example.org"
       " -addext subjectAltName=DNS:smtp-out.cloud.example.org && postfix reload")
BACK = "cd /etc/postfix && cp -p /run/certificate.pem /run/key.pem . && postfix reload"


def main(name: str, folder: Path) -> None:
    """Try each fault."""
    bench = checks.bench(State(name))
    seen: dict[str, Any] = {}
    with Chromium(folder, bench.state.authority) as chromium:
        sogo = Sogo(chromium, f"https://{bench.host('webmail')}")
        screen = Screen(chromium, folder)
        refused = sogo.login(BELA.login, bench.password)
        assert not refused, refused
        seen["nobody there"] = with_pool(bench, "smtp-out.submission/smtp-out-1",
                                         lambda: told(screen, 1, "nobody there", lambda: send(sogo, "Niemand")))
        bench.nodes["smtp-out-1"].ask(["sh", "-c", OUT])
        try:
            seen["foreign certificate"] = told(screen, 2, "foreign certificate", lambda: send(sogo, "Fremder"))
        finally:
            bench.nodes["smtp-out-1"].ask(["sh", "-c", BACK])
        seen["in order"] = told(screen, 3, "in order", lambda: send(sogo, "Freund"))
        try:
            chromium.open("https://nobody.example.org/")
        except StepError as error:
            seen["no such name"] = error.message
    seen["journal"] = bench.nodes["sogo-1"].ask(["journalctl", "-u", "sogo", "-o", "cat", "-n", "200"])
    seen["arrived"] = until(lambda: any(b"Subject: Freund" in one.content for one in bench.receiver.all()), 60)
    json.dump(seen, sys.stdout)


def send(sogo: Sogo, subject: str) -> str:
    """Write to somebody outside."""
    sogo.driver.refresh()
    sogo.write()
    sogo.send(FOREIGN, subject, "Text")
    return "sent"


def told(screen: Screen, number: int, name: str, act: Callable[[], str]) -> str:
    """What is said of it."""
    try:
        return screen.watch(number, name, act)
    except CheckFailed as found:
        return str(found)


def with_pool(bench: Bench, server: str, act: Callable[[], str]) -> str:
    """While a server is out of its pool."""
    folder = bench.peer_folder("balancer")
    balancer.order(folder, f"set server {server} state maint")
    try:
        return act()
    finally:
        balancer.order(folder, f"set server {server} state ready")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
