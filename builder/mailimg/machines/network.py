"""The network of a verification, in a network namespace that vanishes with it."""

from __future__ import annotations

from mailimg import process
from mailimg.machines.place import HERE
from mailimg.peers import addresses as at

BRIDGE = "mailimg0"
PORT = HERE.port
INSIDE = "eth0"  # the container's end


def commands(backend: str) -> list[list[str]]:
    """The `ip` commands that lay the network, in order."""
    steps = [
        "link set lo up",
        # A new port would first only learn for 15 s, without spanning tree too; the node's boot would wait for that.
        f"link add {BRIDGE} address {at.HOST_MAC} type bridge forward_delay 0",
        f"addr add {at.HOST4}/24 dev {BRIDGE}",
        # nodad: an address under duplicate detection cannot be bound for its first second.
        f"addr add {at.HOST6}/64 dev {BRIDGE} nodad",
        f"addr add {at.DC4}/32 dev {BRIDGE}",
        # The Internet: the node reaches these by its default route.
        f"addr add {at.SENDER4}/32 dev {BRIDGE}",
        f"addr add {at.SENDER6}/128 dev {BRIDGE} nodad",
        f"link set {BRIDGE} up",
    ]
    if backend == "qemu":
        steps.append(f"tuntap add {PORT} mode tap")
    else:
        steps.append(f"link add {PORT} type veth peer name {INSIDE} address {at.NODE_MAC}")
    steps.append(f"link set {PORT} master {BRIDGE} up")
    return [["ip", *step.split()] for step in steps]


def lay(backend: str) -> None:
    """Lay the network in the namespace this process is in.

    Raises:
        StepError: a command failed; outside of a namespace of its own the first one that clashes does.
    """
    for command in commands(backend):
        process.run(command, what="lay the network of the verification", timeout=20)
