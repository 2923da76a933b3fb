"""The one door to other programs."""

import contextlib
import os
import signal
import subprocess
import threading
from typing import List, Mapping, NamedTuple, Optional, Sequence

from mailimg_firstboot.errors import CutError, StepError

# What programs get; nothing of the caller's environment reaches them. C and not C.UTF-8: EL7 has only the former.
PROGRAM_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}

# Seconds between asking a program to end and forcing it.
GRACE = 5.0


class Completed(NamedTuple):
    """A program that ran to its end."""

    status: int
    out: bytes
    err: str


class Programs:
    """Programs that run now, in whatever thread; all of them can be ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._running: List["subprocess.Popen[bytes]"] = []
        self._cut = False

    def cut(self) -> None:
        """End all programs; whoever waits for one, or starts another before `mend`, gets a CutError."""
        with self._lock:
            self._cut = True
            for number in (signal.SIGTERM, signal.SIGKILL):
                for process in self._running:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, number)
                if self._lock.wait_for(lambda: not self._running, GRACE):
                    break

    def mend(self) -> None:
        """Programs may be started again."""
        with self._lock:
            self._cut = False

    def run(
        self, argv: Sequence[str], what: str, timeout: float = 60.0, check: bool = True, stdin: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        """Run a program to its end.

        Args:
            argv: program and arguments; no secrets, the process list is public.
            what: what this does; begins the error message.
            timeout: seconds after which the program and its group are killed.
            check: a status other than 0 is an error.
            stdin: what it reads; secrets go this way.
            env: added to `PROGRAM_ENV`; no secrets.

        Raises:
            CutError: the run ends; see `cut`.
            StepError: it cannot be started, timed out, or (with `check`) failed.
        """
        process = self._start(argv, what, stdin is not None, dict(PROGRAM_ENV, **(env or {})))
        try:
            with process:
                try:
                    out, err = process.communicate(stdin, timeout=timeout)
                except subprocess.TimeoutExpired:
                    _kill_group(process)
                    raise StepError("{}: no end after {:g} s: {}".format(what, timeout, _shown(argv))) from None
                except BaseException:
                    _kill_group(process)
                    raise
        finally:
            with self._lock:
                self._running.remove(process)
                self._lock.notify_all()
                cut = self._cut
        if cut:
            # What it still did does not matter: the next run looks.
            raise CutError("{}: cut off".format(what))
        said = err.decode("utf-8", "replace").strip()
        if check and process.returncode != 0:
            raise StepError("{}: {} ended with status {}{}".format(
                what, _shown(argv), process.returncode, ": " + said[-300:] if said else ""))
        return Completed(process.returncode, out, said)

    def _start(self, argv: Sequence[str], what: str, fed: bool, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        # Under the lock: `cut` must either see the program or keep it from starting.
        with self._lock:
            if self._cut:
                raise CutError("{}: not begun".format(what))
            try:
                process = subprocess.Popen(
                    list(argv), env=env, stdin=subprocess.PIPE if fed else subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, start_new_session=True, cwd="/")
            except OSError as error:
                raise StepError("{}: cannot start {}: {}".format(what, argv[0], error.strerror)) from error
            self._running.append(process)
            return process


def _shown(argv: Sequence[str]) -> str:
    """A command for a message; a script among its words would drown the rest."""
    return " ".join("(script)" if "\n" in word else word for word in argv)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a program and all that is in its group; ask first, then force, then reap."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue
        break
    # A member of the group that ignored SIGTERM outlives its leader; nothing of it may stay.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None:
        # It waits in the kernel, for a server that is away; Popen would wait along, for ever.
        process.returncode = -signal.SIGKILL
