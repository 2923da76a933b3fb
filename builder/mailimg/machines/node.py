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
from mailimg.peers import addresses as at

KEPT_SECONDS = 600
COMMAND_SECONDS = 120.0  # an emulated CPU takes 2 to 5 s for the handshake alone


class Node:
    """The node at its address, with the key that cloud-init put there.

    Args:
        keep: make one connection and ask everything through it, instead of one a question: for who asks much of an
            emulated CPU. The ssh that holds it runs on for `KEPT_SECONDS` after the last question, or until the
            connection breaks or its process namespace ends.
    """

    def __init__(self, login: str, key: Path, address: str = at.NODE4, *, keep: bool = False) -> None:
        self.login = login
        self.key = key.absolute()
        self.address = address
        self._socket = self.key.parent / f"ssh-{address}"
        # Below the working folder that it is run with: a path of a socket has 107 bytes at most.
        kept = ["-o", "ControlMaster=auto", "-o", f"ControlPath=./{self._socket.name}",
                "-o", f"ControlPersist={KEPT_SECONDS}", "-o", "ServerAliveInterval=20"]
        self._options = kept if keep else []

    def forget(self) -> None:
        """Use the kept connection no more: the node at its other end is about to go, or is another."""
        self._socket.unlink(missing_ok=True)

    def ask(self, argv: Sequence[str], *, check: bool = True, timeout: float = COMMAND_SECONDS) -> str:
        """What a command prints on the node.

        Raises:
            StepError: SSH failed, or (with `check`) the command did.
        """
        done = process.run(self.argv(argv, *self._options), what=f"run `{shlex.join(argv)}` on the node",
                           cwd=self.key.parent, timeout=timeout, check=check)
        # ssh itself ends with 255; without this a broken connection would look like an empty answer.
        if not check and done.returncode == 255:
            raise StepError(f"run `{shlex.join(argv)}` on the node: no SSH connection", tail=done.stderr.splitlines())
        return done.stdout

    def argv(self, argv: Sequence[str], *options: str) -> list[str]:
        """The command line that runs a command on the node; without one, a shell. `options` are ssh's."""
        return ["ssh", "-F", "none", "-i", str(self.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                # The host key was made a minute ago, and nobody else is in this network namespace.
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                "-o", "ConnectTimeout=20", *options, f"{self.login}@{self.address}",
                shlex.join(["sudo", "-n", *(argv or ["-i"])])]

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
