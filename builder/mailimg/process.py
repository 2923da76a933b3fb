"""The builder's one door to other programs.

Every program runs in list form, with an explicit environment and a closed stdin; a time-out kills the whole group
and reaps it. `confine` puts a program into namespaces of its own, so that its mounts, interfaces and children vanish
with it, however it ends.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mailimg.errors import StepError

# What programs get when the caller names nothing else: no site-specific variable leaks into a build.
BASE_ENV: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}

TAIL_LINES = 20

# Seconds without a line after which the caller of `stream` may look why; bytes read at once.
QUIET_SECONDS = 20.0
CHUNK_BYTES = 65536

# For those who start a program and keep it: its type, and "where standard output goes" for its standard error.
Process = subprocess.Popen[bytes]
STDOUT = subprocess.STDOUT

# What runs now, so that an interruption that arrives in one thread ends the programs of all.
running: set[Process] = set()
# Set by the interruption: a thread that was between two programs must not start the next.
stopped = threading.Event()


def confine(argv: Sequence[str], *, network: bool = False, tied: bool = True) -> list[str]:
    """Wrap `argv` so that it runs in its own mount and process namespaces.

    When the caller dies, even by SIGKILL, the kernel kills everything inside and drops its mounts.

    Args:
        argv: the program and its arguments.
        network: also give it an empty network namespace of its own.
        tied: to the caller's life; otherwise it goes on without.
    """
    prefix = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if tied:
        prefix = ["setpriv", "--pdeathsig", "KILL", *prefix]
    if network:
        prefix.append("--net")
    return [*prefix, "--", *argv]


def which(program: str) -> str | None:
    """Path of `program` on the PATH that programs are run with, or None."""
    return shutil.which(program, path=BASE_ENV["PATH"])


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and capture what it prints.

    Args:
        argv: program and arguments.
        what: what this does for the user; begins the error message ("write the partition table").
        env: added to `BASE_ENV`.
        stdin: bytes for its standard input; secrets go this way, never by argv.
        timeout: seconds after which the whole process group is killed.

    Raises:
        StepError: it could not be started, timed out, or (with `check`) exited non-zero.
    """
    words = [str(word) for word in argv]
    process = start(words, what=what, env=env, cwd=cwd, stdin=subprocess.PIPE if stdin is not None else None,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise StepError(f"{what}: no end after {timeout:g} s", tail=[shlex.join(words)]) from None
    except BaseException:
        kill_group(process)
        raise
    finally:
        close_pipes(process)
    running.discard(process)
    stdout, stderr = out.decode(errors="replace"), err.decode(errors="replace")
    if check and process.returncode != 0:
        tail = [line for line in (stdout + stderr).splitlines() if line.strip()][-TAIL_LINES:]
        raise StepError(f"{what}: `{shlex.join(words)}` ended with {exit_words(process.returncode)}", tail=tail)
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def stream(
    argv: Sequence[str | Path],
    *,
    what: str,
    line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    quiet: Callable[[], None] | None = None,
    pass_fds: Sequence[int] = (),
    parting: Callable[[Process], None] | None = None,
) -> int:
    """Run a program and hand each line it prints (both streams) to `line`; return its exit status.

    An exception in `line` or `quiet`, or an interruption, kills the program's group before it goes on.

    Args:
        quiet: called each time that nothing was printed for `QUIET_SECONDS`.
        parting: called before the group is killed: may ask the program to end, and wait (`ends`).
    """
    process = start([str(word) for word in argv], what=what, env=env, cwd=cwd,
                    stdout=subprocess.PIPE, stderr=STDOUT, pass_fds=pass_fds)
    assert process.stdout is not None  # noqa: S101 - tells mypy what Popen was asked for
    try:
        with process.stdout as out:
            for raw in _lines(out, quiet):
                line(raw.decode(errors="replace"))
        process.wait()
        running.discard(process)
        return process.returncode
    except BaseException:
        try:
            if parting is not None:
                parting(process)
        finally:
            kill_group(process)
        raise
    finally:
        close_pipes(process)


def _lines(out: IO[bytes], quiet: Callable[[], None] | None) -> Iterator[bytes]:
    """What comes out of a pipe, line by line without their ends, until it is closed."""
    begun = b""
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        while True:
            if not selector.select(QUIET_SECONDS if quiet else None):
                if quiet:
                    quiet()
                continue
            # Not `out.read`: what its buffer keeps back, the selector does not see.
            chunk = os.read(out.fileno(), CHUNK_BYTES)
            if not chunk:
                break
            *whole, begun = (begun + chunk).split(b"\n")
            yield from whole
    if begun:
        yield begun


def attached(argv: Sequence[str], *, what: str) -> int:
    """Run a program on our own terminal, with our standard input; its exit status.

    Raises:
        StepError: it could not be started.
    """
    try:
        env = {**BASE_ENV, "TERM": os.environ.get("TERM", "dumb")}
        return subprocess.run(list(argv), env=env, check=False).returncode
    except OSError as error:
        raise StepError(f"{what}: cannot start {argv[0]}: {error.strerror}") from error


def start(
    argv: Sequence[str],
    *,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    pass_fds: Iterable[int] = (),
) -> Process:
    """Start a program in a process group of its own; the caller ends it with `kill_group`."""
    if stopped.is_set():
        raise StepError(f"{what}: interrupted")
    try:
        process = subprocess.Popen(
            list(argv),
            env={**BASE_ENV, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        hint = "`mailimg doctor` says what is missing."
        raise StepError(f"{what}: cannot start {argv[0]}: {error.strerror}", hint) from error
    running.add(process)
    if stopped.is_set():
        # The interruption came in between and did not see this one.
        kill_group(process)
        raise StepError(f"{what}: interrupted")
    return process


def kill_group(process: Process, grace: float = 5.0) -> None:
    """End a program that `start` started, and all that is in its group; ask first, then force, then reap."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    # Also when the program itself has gone: what it started may have ignored the request.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running.discard(process)


def ends(process: Process, seconds: float) -> bool:
    """Whether a program that `start` started ends by itself within so long."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def close_pipes(process: Process) -> None:
    """Close our ends of its pipes; only for who reads them."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C cut short what the first one asked for; for the main thread."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_all() -> None:
    """End every program that runs now and let none start; the threads that wait for them go on with the failure."""
    stopped.set()
    for process in list(running):
        kill_group(process, grace=1.0)


def exit_words(code: int) -> str:
    """An exit status in words: `status 3` or `signal SIGKILL`."""
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"status {code}"


def start_time(pid: int, proc: int | None = None) -> int:
    """When a process started, in clock ticks since the machine did; 0: there is none.

    Args:
        proc: another /proc, opened.
    """
    place = f"/proc/{pid}/stat" if proc is None else f"{pid}/stat"
    try:
        with os.fdopen(os.open(place, os.O_RDONLY, dir_fd=proc), encoding="utf-8", errors="replace") as file:
            # Opening does not keep it: one that is reaped before the file is read is not there (ESRCH).
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    # proc(5): behind the name in brackets come the 3rd field, the state, and so on to the 22nd, the start. A zombie has
    # ended.
    return 0 if fields[0] in "ZX" else int(fields[19])
