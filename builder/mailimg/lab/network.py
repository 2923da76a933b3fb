"""The lab's network, in the network namespace of its supervisor: one bridge, and a cable for each node."""

from __future__ import annotations

import socket
import threading
import time

from mailimg import process
from mailimg.errors import StepError
from mailimg.lab import addresses as at
from mailimg.lab.plan import NodePlan, Plan
from mailimg.machines.network import BRIDGE, INSIDE

PLUG_SECONDS = 20.0
# Every container finds its cable under the same name: one at a time is plugged in.
_plugging = threading.Lock()


def commands(plan: Plan) -> list[list[str]]:
    """The `ip` commands that lay the network, in order."""
    steps = [
        "link set lo up",
        # A new port would first only learn for 15 s, without spanning tree too.
        f"link add {BRIDGE} address {at.GATEWAY_MAC} type bridge forward_delay 0",
        f"addr add {at.GATEWAY4}/24 dev {BRIDGE}",
        # nodad: an address under duplicate detection cannot be bound for its first second.
        f"addr add {at.GATEWAY6}/64 dev {BRIDGE} nodad",
    ]
    own = [at.DC4, at.BALANCER4, at.SENDER4, at.RECEIVER4, at.HOME4, *(vip.address4 for vip in plan.vips)]
    steps += [f"addr add {address}/32 dev {BRIDGE}" for address in own]
    steps += [f"addr add {address}/128 dev {BRIDGE} nodad"
              for address in (at.SENDER6, *(vip.address6 for vip in plan.vips))]
    steps.append(f"link set {BRIDGE} up")
    return [["ip", *step.split()] for step in steps]


def lay(plan: Plan) -> None:
    """Lay the network in the namespace this process is in.

    Raises:
        StepError: a command failed.
    """
    for command in commands(plan):
        process.run(command, what="lay the network of the lab", timeout=20)


def tap(node: NodePlan) -> None:
    """The cable of a guest; one that is there stays."""
    if node.cable in links():
        return
    for step in (f"tuntap add {node.cable} mode tap", f"link set {node.cable} master {BRIDGE} up"):
        process.run(["ip", *step.split()], what=f"lay the cable of {node.name}", timeout=20)


class Plug:
    """The cable of a container, from `with` until its program has taken the other end into its own namespace."""

    def __init__(self, node: NodePlan) -> None:
        self.node = node

    def __enter__(self) -> Plug:
        _plugging.acquire()
        try:
            if self.node.cable in links():
                # What is left of a container that was killed goes when the kernel gets to it.
                process.run(["ip", "link", "del", self.node.cable], what="take the old cable", timeout=20, check=False)
            for step in (f"link add {self.node.cable} type veth peer name {INSIDE} address {self.node.mac}",
                         f"link set {self.node.cable} master {BRIDGE} up"):
                process.run(["ip", *step.split()], what=f"lay the cable of {self.node.name}", timeout=20)
        except BaseException:
            _plugging.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + PLUG_SECONDS
        try:
            while INSIDE in links():
                if time.monotonic() > deadline:
                    process.run(["ip", "link", "del", INSIDE], what="take the cable", timeout=20, check=False)
                    raise StepError(f"boot {self.node.name}: its container did not take its network card")
                time.sleep(0.02)
        finally:
            _plugging.release()


def links() -> set[str]:
    """Names of the network interfaces here."""
    return {name for _, name in socket.if_nameindex()}
