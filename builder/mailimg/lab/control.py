"""Orders to a running lab: one JSON object a line over a Unix socket, one answer a line.

    {"do": "status"}                    the state of all
    {"do": "stop", "name": "domain"}    end a peer; power a node off, as an operator does
    {"do": "kill", "name": "sogo-1"}    as a power cut does
    {"do": "start", "name": "sogo-1"}   start it again, with the disk it had; of a node: until it is ready

An answer is {"ok": true, "value": ...} or {"ok": false, "error": "..."}.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailimg.errors import MailimgError, StepError

SECONDS = 900.0  # a guest boots for minutes
VERBS = ("status", "stop", "kill", "start")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


def serve(path: Path, answer: Callable[[str, str], Any]) -> socketserver.BaseServer:
    """Listen in a thread of its own.

    Args:
        answer: gets verb and name, returns a JSON value, raises MailimgError.
    """

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write((json.dumps(reply(line, answer)) + "\n").encode())
                self.wfile.flush()

    path.unlink(missing_ok=True)
    server = _Server(str(path), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    return server


def reply(line: bytes, answer: Callable[[str, str], Any]) -> dict[str, Any]:
    """What one line is answered."""
    try:
        order = json.loads(line)
    except ValueError:
        return {"ok": False, "error": "not JSON"}
    verb = order.get("do") if isinstance(order, dict) else None
    if verb not in VERBS:
        return {"ok": False, "error": f"`do` is none of {', '.join(VERBS)}"}
    name = order.get("name", "")
    if not isinstance(name, str) or bool(name) == (verb == "status"):
        return {"ok": False, "error": f"{verb}: {'takes no' if verb == 'status' else 'needs a'} name"}
    try:
        return {"ok": True, "value": answer(verb, name)}
    except MailimgError as error:
        return {"ok": False, "error": error.message}


def ask(path: Path, verb: str, name: str = "", seconds: float = SECONDS) -> Any:
    """Give an order and wait for its answer.

    Raises:
        StepError: nobody is there, or the order was refused.
    """
    order = {"do": verb, **({"name": name} if name else {})}
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(seconds)
            made.connect(str(path))
            made.sendall((json.dumps(order) + "\n").encode())
            with made.makefile("rb") as stream:
                line = stream.readline()
    except OSError as error:
        raise StepError(f"lab: no answer to `{verb} {name}`".rstrip(" `") + f"`: {error.strerror or error}") from error
    if not line:
        raise StepError(f"lab: no answer to `{verb}`: the supervisor hung up")
    told = json.loads(line)
    if not told["ok"]:
        raise StepError(f"lab: {told['error']}")
    return told["value"]
