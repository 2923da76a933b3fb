"""Runs in a lab's namespaces: doors to services outside, and letters that flow while somebody else changes the servers.

    scale_inside.py LAB FOLDER RATE PORT...

Connections to a PORT of the address `peers.addresses.HOST4`, where servers ask, or of 127.0.0.1, where the catalogue
sends an operator, go to the socket FOLDER/PORT. A word on standard output says what is so (`doors`, `flows`, `shrunk`),
and a line on standard input lets it go on; the last line is the result.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mailimg import process
from mailimg.lab import checks
from mailimg.lab.checks import Bench, scaling
from mailimg.lab.state import State
from mailimg.machines.network import BRIDGE
from mailimg.peers import addresses as at
from mailimg.peers.relay import Relay


def stage(word: str) -> None:
    """Say what is so, and wait until that is done which is to come next."""
    print(word, flush=True)  # noqa: T201
    if not sys.stdin.readline():
        raise SystemExit("whoever began this has ended")


def change(bench: Bench, word: str) -> None:
    """The same; afterwards servers are others at the same addresses."""
    stage(word)
    for node in bench.nodes.values():
        node.forget()


def main(argv: list[str]) -> int:
    """Open the doors, send, and tell what became of it."""
    _, name, folder, rate, *ports = argv
    process.run(["ip", "addr", "add", f"{at.HOST4}/32", "dev", BRIDGE], what="take an address", timeout=20)
    for port in ports:
        for address in (at.HOST4, "127.0.0.1"):
            Relay((address, int(port)), Path(folder) / port).start()
    stage("doors")
    bench = checks.bench(State(name))
    try:
        print(scaling.under_load(bench, float(rate), lambda: change(bench, "flows"),  # noqa: T201
                                 lambda: change(bench, "shrunk")))
    except checks.CheckFailed as error:
        print(f"FAILED {error}")  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
