"""The inner half: runs in the namespaces that `mailimg.verify` made, and tells it by JSON lines what it sees."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from mailimg.errors import MailimgError
from mailimg.verify.session import verify
from mailimg.verify.values import Request


def main(argv: list[str]) -> int:
    """Verify what the request file names; 0 when a result was told, whatever it says."""
    # The first process of a process namespace is sent no signal that it has no handler for.
    signal.signal(signal.SIGTERM, stop)
    request = Request.from_dict(json.loads(Path(argv[1]).read_text()))
    try:
        result = verify(request, lambda line: tell("line", line), lambda check: tell("check", asdict(check)))
    except MailimgError as error:
        tail = list(getattr(error, "tail", ()))
        tell("error", {"message": error.message, "hint": error.hint, "tail": tail, "code": error.exit_code})
        return error.exit_code
    tell("result", result.to_dict())
    return 0


def tell(event: str, value: Any) -> None:
    """One event to the outer half."""
    sys.stdout.write(json.dumps({"event": event, "value": value}) + "\n")
    sys.stdout.flush()


def stop(number: int, frame: FrameType | None) -> None:
    """End as if by an exception, so that everything is taken down in order."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
