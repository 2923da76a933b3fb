"""Runs checks inside a lab and tells their results by JSON lines.

    python -m mailimg.lab.testing NAME ROOT FD GROUP...
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.errors import MailimgError, StepError
from mailimg.lab import checks, start
from mailimg.lab.state import State
from mailimg.verify.values import CheckResult

# Seconds in which an interrupted check gives back what it took away: a guest that was cut off boots again.
BACK_SECONDS = 300.0
LEFT_HINT = "What it had taken away may be missing: `mailimg lab status`, `mailimg lab down`."
INTERRUPTED = 130


def groups(only: Sequence[str]) -> list[str]:
    """The names of the groups that are asked for, or of the usual ones.

    Raises:
        InputError: there is no such group.
    """
    return [name for name, _ in checks.find(only or checks.usual())]


def run(state: State, chosen: Sequence[str], told: Callable[[str, CheckResult], None]) -> dict[str, Any]:
    """Run the checks of some groups on a running lab.

    Args:
        told: gets each result at once, with the name of its group.

    Returns:
        `ok`, `seconds`, `checks` (with their groups), `figures`.

    Raises:
        StepError: the checks could not be run.
    """
    begun = time.monotonic()
    results: list[dict[str, Any]] = []
    figures: dict[str, float] = {}
    errors: list[dict[str, Any]] = []
    noise: list[str] = []

    def line(text: str) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            noise.append(text)
            return
        if not isinstance(event, dict) or "event" not in event:
            noise.append(text)
        elif event["event"] == "check":
            results.append({"group": event["group"], **event["check"]})
            told(event["group"], CheckResult(**event["check"]))
        elif event["event"] == "end":
            figures.update(event["figures"])
        else:
            errors.append(event)

    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    # Its end tells the checks to end; also when this process is killed.
    theirs, ours = os.pipe()
    asking = os.fdopen(ours, "wb")
    argv = [sys.executable, "-m", __name__, state.name, str(state.folder.parent), str(theirs), *chosen]

    def parting(checks: process.Process) -> None:
        asking.close()
        if not process.ends(checks, BACK_SECONDS):
            raise StepError("test the lab: interrupted, and the check did not end", LEFT_HINT)

    try:
        code = process.stream(start.inside(state, argv), what="test the lab", line=line, env=env, pass_fds=[theirs],
                              parting=parting)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the lab runs on, and has back what a check had taken away") from None
    finally:
        os.close(theirs)
        asking.close()
    if errors:
        raise StepError(errors[0]["message"], errors[0]["hint"], errors[0]["tail"])
    if code != 0:
        raise StepError(f"test the lab: the checks ended with {process.exit_words(code)}",
                        tail=noise[-process.TAIL_LINES:])
    return {"ok": bool(results) and all(one["ok"] for one in results), "seconds": round(time.monotonic() - begun, 1),
            "checks": results, "figures": figures}


def tell(event: str, **values: Any) -> None:
    """One event to who started this process."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def heed(fd: int) -> None:
    """Interrupt the main thread when the other end of a pipe is closed: who asked for the checks has gone."""
    def wait() -> None:
        while os.read(fd, 1):
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main(argv: list[str]) -> int:
    """Run the groups; 0 when all results were told, whatever they say; interrupted, a check first gives back what it
    took away."""
    _, name, root, fd, *groups = argv
    heed(int(fd))
    figures: Mapping[str, float] = {}
    try:
        for group, module in checks.find(groups):
            bench = checks.bench(State(name, Path(root)))
            checks.acquaint(bench)
            checks.run(module.checks(), bench, lambda result, group=group: tell(  # type: ignore[misc]
                "check", group=group, check={**asdict(result), "seconds": round(result.seconds, 1)}))
            figures = {**figures, **bench.figures}
    except MailimgError as error:
        tell("error", message=error.message, hint=error.hint, tail=list(getattr(error, "tail", ())))
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    tell("end", figures=dict(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
