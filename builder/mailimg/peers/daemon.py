"""A peer that is a program of the host: started, watched until it listens, ended."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from mailimg import process
from mailimg.errors import StepError

START_SECONDS = 30.0


class Daemon:
    """One program with a log in its folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.process: process.Process | None = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    def launch(self, argv: list[str]) -> None:
        """Start the program with its output in the log."""
        with self.log.open("ab") as log:
            self.process = process.start(argv, what=f"start {self.name}", stdout=log, stderr=process.STDOUT)

    def stop(self) -> None:
        """End it; nothing happens when it does not run."""
        if self.process is not None:
            process.kill_group(self.process)
            self.process = None

    def tail(self) -> list[str]:
        """Last lines of its log."""
        return self.log.read_text(errors="replace").splitlines()[-process.TAIL_LINES:] if self.log.exists() else []


def until_port(daemon: Daemon, address: str, port: int) -> None:
    """Wait until a TCP port answers.

    Raises:
        StepError: the daemon ended, or did not listen in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError as error:
            if daemon.process is not None and daemon.process.poll() is not None:
                code = process.exit_words(daemon.process.returncode)
                raise StepError(f"start {daemon.name}: it ended with {code}", tail=daemon.tail()) from error
            if time.monotonic() > deadline:
                raise StepError(f"start {daemon.name}: {address}:{port} does not answer after {START_SECONDS:g} s",
                                tail=daemon.tail()) from error
        time.sleep(0.05)
