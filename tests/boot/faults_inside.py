"""Runs in namespaces of its own: boots a tree with wrong metadata, once a fault, and tells what the node did.

    python faults_inside.py TREE SCRATCH    one JSON object on standard output: fault -> what was seen
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from mailimg.machines import network, seed
from mailimg.machines.console import AGENT, Console
from mailimg.machines.machine import Container, exited
from mailimg.peers import addresses as at
from mailimg.peers.authority import ssh_key

SECONDS = 90.0

Change = Callable[[Path], None]


def site(role: str = "smtp-in") -> dict[str, Any]:
    """A document that would be right, but for the fault."""
    return seed.site_document(role, "not-used", "system", {})


def absent(latest: Path) -> None:
    (latest / "user_data").unlink()


def truncated(latest: Path) -> None:
    # In the middle of the directory's URLs: what is left is no YAML.
    whole = (latest / "user_data").read_text()
    (latest / "user_data").write_text(whole[: whole.index("directory:")] + "directory: {urls: [")


def unknown_key(latest: Path) -> None:
    (latest / "user_data").write_text(yaml.safe_dump({**site(), "domian": ["example.org"]}, sort_keys=False))


def other_role(latest: Path) -> None:
    (latest / "user_data").write_text(yaml.safe_dump(site("smtp-out"), sort_keys=False))


FAULTS: dict[str, Change] = {
    "absent": absent,
    "truncated": truncated,
    "unknown key": unknown_key,
    "other role": other_role,
}


def boot(name: str, change: Change, tree: Path, scratch: Path, public: str) -> dict[str, Any]:
    """One boot: the agent's words on the console, and whether the node takes mail."""
    folder = scratch / name.replace(" ", "-")
    folder.mkdir()
    seed.write(folder / "seed", site(), public)
    change(folder / "seed" / "openstack" / "latest")
    machine = Container(folder / "node", tree, folder / "seed")
    console = Console(machine.console, lambda _: None)
    machine.start()
    try:
        deadline = time.monotonic() + SECONDS
        while not console.verdict and not exited(machine) and time.monotonic() < deadline:
            time.sleep(0.1)
            console.read()
        # Until the boot is over anything may still start; ssh is the last that does.
        while not reachable(22) and time.monotonic() < deadline:
            time.sleep(0.2)
        console.read()
        said = [found[1] for found in map(AGENT.search, console.lines) if found]
        return {"verdict": console.verdict, "said": said, "ssh": reachable(22), "smtp": reachable(25)}
    finally:
        machine.stop()


def reachable(port: int) -> bool:
    """Whether the node takes connections there."""
    try:
        with socket.create_connection((at.NODE4, port), timeout=2):
            return True
    except OSError:
        return False


def main() -> None:
    tree, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    network.lay("nspawn")
    _, public = ssh_key(scratch)
    seen = {name: boot(name, change, tree, scratch, public) for name, change in FAULTS.items()}
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
