"""The inner half of a lab: lays the network, starts peers and nodes, tells what happens, and takes orders."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from mailimg import process
from mailimg.errors import MailimgError, StepError
from mailimg.lab import addresses as at
from mailimg.lab import control, network
from mailimg.lab.nodes import LabNode, mailbox_folder
from mailimg.lab.peers import Peers, running
from mailimg.lab.plan import Plan
from mailimg.lab.state import State
from mailimg.machines import seed
from mailimg.peers import addresses as known
from mailimg.peers import domain

WRITES_PERCENT = 60  # of the machine's memory, at most, for what containers write


class Supervisor:
    """One running lab."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.plan = Plan.from_dict(request["plan"])
        self.state = State(request["name"], Path(request["root"]))
        self.cache = Path(request["peers"])
        self.scratch = Path(request["scratch"])
        self.groups = [Path(one) for one in request["cgroups"]]
        self.told = self.state.read()
        self.begun = time.monotonic()
        self.peers: Peers | None = None
        self.nodes: dict[str, LabNode] = {}
        self._lock = threading.Lock()

    def event(self, kind: str, **values: Any) -> None:
        """One event for those who watch."""
        line = {"event": kind, "at": round(time.monotonic() - self.begun, 1), **values}
        with self._lock, self.state.events.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def phase(self, phase: str, **values: Any) -> None:
        """A phase begins: starting, booting, up, failed."""
        self.told |= {"phase": phase, **values}
        self.save()
        self.event("phase", phase=phase, **values)

    def save(self) -> None:
        """Write the state of all."""
        whole = {**self.told, **self.status()}
        with self._lock:
            self.state.write(whole)

    def status(self) -> dict[str, Any]:
        """Nodes and peers."""
        peers = {} if self.peers is None else running(self.peers.all)
        return {"phase": self.told["phase"], "nodes": {name: node.told() for name, node in list(self.nodes.items())},
                "peers": peers}

    def changed(self, name: str, state: str, text: str) -> None:
        """A node says something, or its state (if not "") is another."""
        self.event("node", node=name, state=state, text=text.strip())
        if state:
            self.save()

    def up(self) -> None:
        """Everything, up to the last node's word.

        Raises:
            StepError: the surroundings cannot be set up. Nodes that fail are told of instead.
        """
        self.phase("starting")
        network.lay(self.plan)
        folder = self.state.folder
        (folder / "resolv.conf").write_text(f"nameserver {at.GATEWAY4}\nsearch {known.CLOUD_DOMAIN}\n")
        # Only this mount namespace sees these; who looks at the lab from inside asks its name server.
        writes = folder / "writes"
        writes.mkdir(mode=0o755)
        process.run(["mount", "--bind", folder / "resolv.conf", Path("/etc/resolv.conf").resolve()],
                    what="use the lab's name server", timeout=20)
        process.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={WRITES_PERCENT}%", "writes", writes],
                    what="make room for what containers write", timeout=20)
        self.peers = Peers(self.plan, self.state, self.cache)
        for name, peer in self.peers.all.items():
            peer.start()
            self.event("peer", peer=name, text="serves")
        domain.wait_for_name(known.DC_NAME, at.GATEWAY4)
        mailboxes = mailbox_folder(writes) if self.plan.storage == "bind" else None
        for node in self.plan.nodes:
            self.nodes[node.name] = self.prepare(node.name, writes, mailboxes)
        self.phase("booting")
        threads = [threading.Thread(target=self.boot, args=(node,), daemon=True) for node in self.nodes.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        failed = {name: node.told() for name, node in self.nodes.items() if node.state != "ready"}
        if failed:
            self.phase("failed", error=f"not ready: {', '.join(failed)}")
        else:
            self.phase("up", seconds=round(time.monotonic() - self.begun, 1))

    def prepare(self, name: str, writes: Path, mailboxes: Path | None) -> LabNode:
        """A node with its config drive, ready to boot."""
        assert self.peers is not None  # noqa: S101 - started before
        node = self.plan.node(name)
        drive = writes / "seeds" / name
        drive.parent.mkdir(exist_ok=True, mode=0o700)
        self.peers.seed(node, drive)
        disk = (writes if node.machine == "nspawn" else self.scratch) / name
        disk.mkdir(parents=True)
        if node.machine == "qemu":
            iso = disk / "config-drive.iso"
            seed.write_iso(drive, iso)
            drive = iso
        return LabNode(self.plan, node, self.state.node_folder(name), disk, drive, self.groups, mailboxes,
                       self.state.key, self.changed)

    def boot(self, node: LabNode) -> None:
        """Boot one; a failure is told, not raised. Of a guest that needs the storage server, that one comes first."""
        if node.node.role == "pop-imap-lda" and self.plan.storage == "nfs":
            self.event("node", node=node.node.name, state="", text="boots beside the storage server and waits for it")
        try:
            node.boot()
        except MailimgError as error:
            self.event("error", node=node.node.name, text=error.message, tail=list(getattr(error, "tail", ())))

    def answer(self, verb: str, name: str) -> Any:
        """An order.

        Raises:
            MailimgError: it cannot be carried out.
        """
        if verb == "status":
            return self.status()
        peers = {} if self.peers is None else self.peers.all
        if name in self.nodes:
            node = self.nodes[name]
            if verb == "start":
                node.boot()
            else:
                node.stop(hard=verb == "kill")
            return node.told()
        if name not in peers:
            raise StepError(f"there is no {name!r}; there are {', '.join([*self.nodes, *peers])}")
        if verb == "start":
            if running(peers)[name]:
                raise StepError(f"{name} runs")
            peers[name].start()
        else:
            peers[name].stop()
        self.event("peer", peer=name, text="serves" if verb == "start" else "stopped")
        self.save()
        return {"running": running(peers)[name]}


def main(argv: list[str]) -> int:
    """Bring the lab up and serve until the end."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    lab = Supervisor(json.loads(Path(argv[1]).read_text()))
    server = control.serve(lab.state.control, lab.answer)
    try:
        lab.up()
    except MailimgError as error:
        lab.event("error", node="", text=error.message, hint=error.hint, tail=list(getattr(error, "tail", ())))
        lab.phase("failed", error=error.message)
        return error.exit_code
    threading.Event().wait()
    server.shutdown()
    return 0


def stop(number: int, frame: FrameType | None) -> None:
    """End; the kernel ends everything that was started, and drops the mounts, with the first process."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
