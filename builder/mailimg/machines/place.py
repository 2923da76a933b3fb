"""Where a node stands: its name, its number as an instance, its card and addresses, and its cable."""

from __future__ import annotations

from dataclasses import dataclass

from mailimg.peers import addresses as at


@dataclass(frozen=True)
class Place:
    """A node's place in a network of namespaces; by default the one that a verification has.

    Attributes:
        name: host name.
        uuid: of the instance.
        mac: of its card.
        address4, address6: its own; in networks of 24 and 64 bits.
        gateway4, gateway6: the way out, and the name server.
        port: the bridge's end of its cable: a tap for QEMU, a veth for a container.
        keypair: the name of its SSH key.
    """

    name: str = at.NODE_NAME
    uuid: str = at.INSTANCE
    mac: str = at.NODE_MAC
    address4: str = at.NODE4
    address6: str = at.NODE6
    gateway4: str = at.HOST4
    gateway6: str = at.HOST6
    port: str = "node0"
    keypair: str = "verify"


HERE = Place()
