"""Questions to the node by SSH, as root through sudo; nothing is changed there."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.errors import StepError
from mailimg.verify import addresses as at

COMMAND_SECONDS = 120.0  # an emulated CPU takes 2 to 5 s for the handshake alone


class Node:
    """The node at its address, with the key that cloud-init put there."""

    def __init__(self, login: str, key: Path, address: str = at.NODE4) -> None:
        self.login = login
        self.key = key
        self.address = address

    def ask(self, argv: Sequence[str], *, check: bool = True, timeout: float = COMMAND_SECONDS) -> str:
        """What a command prints on the node.

        Raises:
            StepError: SSH failed, or (with `check`) the command did.
        """
        done = process.run(
            ["ssh", "-F", "none", "-i", self.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
             # The host key was made a minute ago, and nobody else is in this network namespace.
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
             "-o", "ConnectTimeout=20", f"{self.login}@{self.address}", shlex.join(["sudo", "-n", *argv])],
            what=f"run `{shlex.join(argv)}` on the node", timeout=timeout, check=check,
        )
        # ssh itself ends with 255; without this a broken connection would look like an empty answer.
        if not check and done.returncode == 255:
            raise StepError(f"run `{shlex.join(argv)}` on the node: no SSH connection", tail=done.stderr.splitlines())
        return done.stdout

    def wait(self, seconds: float) -> None:
        """Wait until a login works.

        Raises:
            StepError: it never did; the message is that of the last try.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.ask(["true"])
                return
            except StepError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def status(self) -> dict[str, Any]:
        """The agent's status document."""
        # `status` ends with a status of its own when the node is not ready; its document counts.
        text = self.ask(["mailimg-firstboot", "status", "--json"], check=False)
        return self._object(text, "mailimg-firstboot status --json")

    def role(self) -> dict[str, Any]:
        """The image's role.json."""
        return self._object(self.ask(["cat", "/etc/mailimg/role.json"]), "role.json")

    def listeners(self) -> tuple[int, ...]:
        """TCP ports that listen, sorted, each once."""
        return parse_listeners(self.ask(["ss", "-ltn"]))

    def files_with(self, folder: str, text: str) -> list[str]:
        """Files below `folder` that contain `text`, compressed or not."""
        found = self.ask(["find", folder, "-type", "f", "-exec", "zgrep", "-lF", "--", text, "{}", "+"], check=False)
        return found.split()

    @staticmethod
    def _object(text: str, what: str) -> dict[str, Any]:
        try:
            data = json.loads(text)
        except ValueError as error:
            raise StepError(f"read {what} of the node: {error}", tail=text.splitlines()[-5:]) from error
        if not isinstance(data, dict):
            raise StepError(f"read {what} of the node: not an object")
        return data


def parse_listeners(text: str) -> tuple[int, ...]:
    """Ports of `ss -ltn`: the fourth column is address:port; the header is left out here, CentOS 7's ss has no -H."""
    rows = [line.split() for line in text.splitlines() if line.startswith("LISTEN ")]
    return tuple(sorted({int(row[3].rpartition(":")[2]) for row in rows}))
