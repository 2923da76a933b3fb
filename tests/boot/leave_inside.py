"""Runs in namespaces of its own: nodes with mail that cannot go its way leave, and a sibling takes it."""

from __future__ import annotations

import json
import smtplib
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import leave_node as lab

from mailimg import process
from mailimg.peers.sink import Sink

SECONDS = 40.0
MESSAGES = 6
DOCUMENT: dict[str, Any] = {
    "mailimg": 1, "domains": ["example.org"],
    "leave": {"deadline": 2, "flush": 2, "handover": 20, "siblings": {"host": lab.SIBLING}},
}


def until(what: str, ask: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


class Place:
    """Two nodes over one tree, and the layer behind them."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self.folder, self.tree = folder, tree
        self.sink = Sink(*lab.DELIVERY, "delivery.example.org")
        self.sink.start()
        self.count = 0
        self.sibling = self.node(lab.SIBLING, "mx-2.example.org", "[{}]:{}".format(*lab.DELIVERY))
        lab.serve(self.sibling)

    def node(self, address: str, name: str, hop: str, document: dict[str, Any] | None = None, **more: Any) -> Path:
        """A fresh node over the tree."""
        self.count += 1
        base = self.folder / f"{self.count}"
        for part in ("upper", "work", "root"):
            (base / part).mkdir(parents=True)
        root = base / "root"
        options = f"lowerdir={self.tree},upperdir={base / 'upper'},workdir={base / 'work'}"
        process.run(["mount", "-t", "overlay", "overlay", "-o", options, root], what="lay a node's root")
        process.run(["mount", "-t", "proc", "proc", root / "proc"], what="give it /proc")
        process.run(["mount", "--bind", "/dev", root / "dev"], what="give it /dev")
        lab.lay(root, address, name, hop, document or DOCUMENT, **more)
        return root

    def leaver(self, **more: Any) -> Path:
        """A serving node whose next hop does not answer."""
        root = self.node(lab.LEAVING, "mx-1.example.org", f"[{lab.GONE}]", **more)
        lab.serve(root)
        return root


def send(letter: str, number: int) -> dict[str, Any]:
    """One numbered message for two or three recipients; every third has no sender, as a bounce has none."""
    sender = "" if number % 3 == 0 else f"sender-{number}@far.example"
    recipients = [f"{name}-{number}@example.org" for name in ("anna", "bert", "carl")[:2 + number % 2]]
    message = f"Message-ID: <{letter}-{number}@far.example>\r\nSubject: {number}\r\n\r\nbody {number}\r\n"
    with smtplib.SMTP(lab.LEAVING, 25, timeout=20, source_address=("10.77.0.9", 0)) as client:
        client.sendmail(sender, recipients, message)
    return {"sender": sender, "recipients": recipients}


def fill(root: Path, letter: str) -> dict[str, dict[str, Any]]:
    """Numbered messages, deferred, one of them held."""
    host = lab.NodeHost(root)
    sent = {f"<{letter}-{number}@far.example>": send(letter, number) for number in range(MESSAGES)}
    until("all are deferred",
          lambda: [one.queue for one in host.postfix.queue("/etc/postfix")] == ["deferred"] * MESSAGES)
    host.run(["postsuper", "-h", host.postfix.queue("/etc/postfix")[0].id], "hold one")
    return sent


def arrived(place: Place, sent: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is wrong with what arrived: each recipient of each message once, from its sender; empty lists if nothing."""
    wanted = Counter((message, one["sender"], name) for message, one in sent.items() for name in one["recipients"])

    def got() -> Counter[tuple[str, str, str]]:
        return Counter((kept.head["message-id"], kept.sender, name) for kept in list(place.sink.kept)
                       for name in kept.recipients if kept.head["message-id"] in sent)

    deadline = time.monotonic() + SECONDS
    while got() != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(0.5)
    return {"lost": sorted(map(list, (wanted - got()).elements())),
            "more": sorted(map(list, (got() - wanted).elements()))}


def agent(root: Path, step: str = "-", when: str = "-") -> subprocess.CompletedProcess[str]:
    """One run of `leave`."""
    argv = [sys.executable, str(Path(lab.__file__)), str(root), step, when]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=180)


def refused(address: str, port: int) -> bool:
    """Whether nobody listens."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def final(root: Path) -> dict[str, Any]:
    """What is there after leaving."""
    host = lab.NodeHost(root)
    status = json.loads((host.read("/run/mailimg/status.json") or b"{}").decode())
    return {"state": status.get("state"), "queue": len(host.postfix.queue("/etc/postfix")),
            "active": host.systemd.state(lab.UNIT).active, "secret": host.read("/etc/postfix/account") is not None,
            "closed": refused(lab.LEAVING, 25), "steps": {one["name"]: one["state"] for one in status.get("steps", [])}}


def whole(place: Place) -> dict[str, Any]:
    """Leave with an open session, then again, then serve again."""
    root = place.leaver()
    sent = fill(root, "whole")
    session = smtplib.SMTP(lab.LEAVING, 25, timeout=20, source_address=("10.77.0.9", 0))
    begun = time.monotonic()
    first = agent(root)
    told = {"status": first.returncode, "said": first.stderr, "seconds": time.monotonic() - begun,
            "final": final(root), "mail": arrived(place, sent), "console": lab.NodeHost(root).read("/console") or b""}
    told["console"] = told["console"].decode().splitlines()
    session.close()
    main = lab.NodeHost(root).read("/etc/postfix/main.cf")
    told["again"] = {"status": agent(root).returncode, "final": final(root),
                     "same": main == lab.NodeHost(root).read("/etc/postfix/main.cf")}
    lab.serve(root)
    told["back"] = {"takes mail": not refused(lab.LEAVING, 25), "clean": lab.render.check(
        lab.NodeHost(root), lab.goal(lab.NodeHost(root)))}
    send("back", 1)
    lab.NodeHost(root).run(["postfix", "stop"], "stop")
    return told


def killed(place: Place, step: str, when: str) -> dict[str, Any]:
    """Leave, killed at a step, then again."""
    root = place.leaver()
    sent = fill(root, f"{step}-{when}")
    first = agent(root, step, when)
    second = agent(root)
    return {"first": first.returncode, "second": second.returncode, "said": second.stderr, "final": final(root),
            "mail": arrived(place, sent)}


def filtered(place: Place) -> dict[str, Any]:
    """Mail that waits for a content filter that is gone: its way is in the queue file."""
    root = place.leaver(content_filter="dead:[127.0.0.1]:10099")
    sent = fill(root, "filtered")
    done = agent(root)
    return {"status": done.returncode, "said": done.stderr, "final": final(root), "mail": arrived(place, sent)}


def nobody(place: Place) -> dict[str, Any]:
    """A sibling that is away, then back."""
    lab.NodeHost(place.sibling).run(["postfix", "stop"], "stop")
    document = {**DOCUMENT, "leave": {**DOCUMENT["leave"], "handover": 3}}
    root = place.leaver(document=document)
    sent = fill(root, "nobody")
    first = agent(root)
    host = lab.NodeHost(root)
    told = {"status": first.returncode, "said": first.stderr, "final": final(root),
            "ids": [one.id for one in host.postfix.queue("/etc/postfix")],
            "console": (host.read("/console") or b"").decode().splitlines()}
    lab.NodeHost(place.sibling).run(["postfix", "start"], "start")
    told["second"] = {"status": agent(root).returncode, "final": final(root), "mail": arrived(place, sent)}
    return told


def main() -> None:
    folder, tree, scenario = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    process.run(["ip", "link", "set", "lo", "up"], what="lay the network")
    process.run(["ip", "link", "add", "lab0", "type", "bridge"], what="lay the network")
    for last in (1, 2, 3, 4, 9):
        process.run(["ip", "addr", "add", f"10.77.0.{last}/24", "dev", "lab0"], what="lay the network")
    process.run(["ip", "link", "set", "lab0", "up"], what="lay the network")
    process.run(["mount", "-t", "tmpfs", "tmpfs", folder], what="make room")
    place = Place(folder, tree)
    name, *words = scenario.split(":")
    told = {"whole": whole, "killed": killed, "filtered": filtered, "nobody": nobody}[name](place, *words)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
