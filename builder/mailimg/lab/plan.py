"""What a lab is to be, as a value: nodes, virtual addresses, peers. No clock, no network, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mailimg import documents
from mailimg.errors import InputError
from mailimg.lab import addresses as at
from mailimg.peers import addresses as names

# Role, first address, how many by default; the storage server is there only where there is real NFS.
ROSTER = (
    ("nfs", 5, 1),
    ("smtp-in", 11, 1),
    ("smtp-out", 21, 1),
    ("pop-imap-lda", 31, 2),
    ("sogo", 41, 1),
)
MOST = 9  # nodes of a role: ten addresses further begins the next
# Virtual addresses: the load balancer of role.yaml's ports, last part of its address, its name in DNS.
VIPS = (
    ("smtp-in", 101, at.MX_NAME),
    ("smtp-out", 102, names.SMTP_OUT_NAME),
    ("delivery", 103, names.DELIVERY_NAME),
    ("pop", 104, at.POP_NAME),
    ("imap", 105, names.IMAP_NAME),
    ("webmail", 106, names.WEBMAIL_NAME),
)
KERNEL = ("nfs", "pop-imap-lda")  # roles whose NFS needs a kernel of their own
SMTP_PORTS = (25, 587)  # whose health the balancer asks in SMTP; of the others, whether they listen
# MiB that a role takes in a container, measured with the tuning below (docs/lab.md), and the peers together.
CONTAINER_MIB = {"nfs": 100, "smtp-in": 500, "smtp-out": 250, "pop-imap-lda": 250, "sogo": 450}
PEERS_MIB = 500
# Until a node must be ready. Emulated guests that boot side by side need minutes.
CONTAINER_SECONDS, GUEST_SECONDS = 240.0, 1200.0
TUNING: Mapping[str, Mapping[str, Any]] = {
    # GTUBE scores 1000: it is to be marked here, not kept back.
    "smtp-in": {"amavis_workers": 2, "spam_quarantine": 5000},
    "smtp-out": {"scanners": 4, "auth_workers": 4},
    "pop-imap-lda": {"sessions": 200},
    "sogo": {"workers": 4},
}


@dataclass(frozen=True)
class Image:
    """A built image: its manifest, its file, and the tree it was made from ("" when that is not there)."""

    document: Mapping[str, Any]
    path: str
    tree: str


@dataclass(frozen=True)
class NodePlan:
    """One server of the platform.

    Attributes:
        machine: `nspawn` or `qemu`.
        tree: root tree that a container is made of; "" under QEMU.
        memory_mib: of a guest: what it gets; of a container: what it is expected to take.
        cable: the bridge's end of its network cable.
        listeners: every TCP port that may listen.
    """

    name: str
    role: str
    machine: str
    uuid: str
    mac: str
    address4: str
    address6: str
    cable: str
    image: str
    tree: str
    login: str
    memory_mib: int
    listeners: tuple[int, ...]


@dataclass(frozen=True)
class VipPort:
    """One port of a virtual address; `check` is `smtp` or `tcp`, the rest as in role.yaml."""

    name: str
    port: int
    peers: str
    persistence: str
    balance: str
    check: str


@dataclass(frozen=True)
class Vip:
    """A virtual address, and the role whose nodes stand behind it."""

    name: str
    host: str
    address4: str
    address6: str
    role: str
    ports: tuple[VipPort, ...]


@dataclass(frozen=True)
class Peer:
    """A server that is no node: name, address, what it is."""

    name: str
    address: str
    what: str


PEERS = (
    Peer("dns", at.GATEWAY4, "name server (dnsmasq): MX, SPF and DKIM of all domains"),
    Peer("domain", at.DC4, "Active Directory (Samba): users, lists, Kerberos"),
    Peer("files", at.GATEWAY4, "HTTPS server that the nodes fetch their certificates from"),
    Peer("balancer", at.BALANCER4, "load balancer (HAProxy) with the virtual addresses"),
    Peer("sender", at.SENDER4, f"mail host of the Internet, MX of {names.SENDER_DOMAIN}"),
    Peer("receiver", at.RECEIVER4, f"mail host of the Internet, MX of {names.FOREIGN_DOMAIN}"),
)


@dataclass(frozen=True)
class Plan:
    """A whole lab.

    Attributes:
        storage: `nfs` or `bind` (the mailbox servers share a folder of this host).
        tuning: parameters by role, for the site documents.
        timeout: seconds in which a node must say that it is ready.
        firmware, accel: of guests.
    """

    name: str
    storage: str
    nodes: tuple[NodePlan, ...]
    vips: tuple[Vip, ...]
    peers: tuple[Peer, ...] = PEERS
    networks: tuple[str, ...] = (at.NETWORK4, at.NETWORK6)
    tuning: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    timeout: float = 600.0
    firmware: str = "bios"
    accel: str = "auto"

    @property
    def memory_mib(self) -> int:
        """What all of it is expected to take."""
        return PEERS_MIB + sum(node.memory_mib for node in self.nodes)

    def of(self, role: str) -> list[NodePlan]:
        """The nodes of a role."""
        return [node for node in self.nodes if node.role == role]

    def node(self, name: str) -> NodePlan:
        """A node by name, or by role where there is one only.

        Raises:
            InputError: there is none.
        """
        found = [node for node in self.nodes if node.name == name] or self.of(name)
        if len(found) != 1:
            known = ", ".join(node.name for node in self.nodes)
            raise InputError([f"lab: there is no node {name!r}"], f"Nodes: {known}.")
        return found[0]

    def vip(self, name: str) -> Vip:
        """A virtual address by name."""
        return next(vip for vip in self.vips if vip.name == name)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "memory_mib": self.memory_mib}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """The inverse of `to_dict`."""
        rest = {key: value for key, value in data.items() if key != "memory_mib"}
        rest["nodes"] = tuple(NodePlan(**{**one, "listeners": tuple(one["listeners"])}) for one in data["nodes"])
        rest["vips"] = tuple(Vip(**{**one, "ports": tuple(VipPort(**port) for port in one["ports"])})
                             for one in data["vips"])
        rest["peers"] = tuple(Peer(**one) for one in data["peers"])
        rest["networks"] = tuple(data["networks"])
        return cls(**rest)


def roles(storage: str) -> list[str]:
    """The roles that a lab needs images of."""
    return [role for role, _, _ in ROSTER if role != "nfs" or storage == "nfs"]


def misfits(known: Sequence[str], memory: Mapping[str, Any], tuning: Mapping[str, Any],
            counts: Mapping[str, int]) -> list[str]:
    """What options ask of roles that a lab of these roles does not have; no image is needed to know it."""
    most = {role: 1 if role == "nfs" else MOST for role in known}
    return [*(f"{option}: {role}: the lab has no such role" for option, given in
              (("--memory", memory), ("--set", tuning), ("--nodes", counts)) for role in given if role not in most),
            *(f"--nodes: {role}={count}: the lab has one to {most[role]} of them"
              for role, count in counts.items() if role in most and not 1 <= count <= most[role])]


def make(images: Mapping[str, Image], *, name: str, storage: str, everything: bool = False,
         memory: Mapping[str, int] | None = None, tuning: Mapping[str, Mapping[str, Any]] | None = None,
         counts: Mapping[str, int] | None = None, timeout: float | None = None, firmware: str = "bios",
         accel: str = "auto") -> Plan:
    """The plan of a lab.

    Args:
        images: by role, all that `roles` names.
        everything: all nodes under QEMU, not only those that need a kernel.
        memory: MiB by role, for guests.
        tuning: parameters by role, beside and before the lab's own.
        counts: nodes by role, instead of the usual number.
        timeout: seconds in which a node must be ready; None: what is usual for the machines.

    Raises:
        InputError: an image cannot be booted in the way that is asked for, or an option names what is not there.
    """
    problems = misfits(list(images), memory or {}, tuning or {}, counts or {})
    for role, values in (tuning or {}).items():
        known = images[role].document["contract"].get("parameters") if role in images else None
        # An image that an earlier version built says nothing of its parameters: its agent will.
        if known is not None:
            rules = {"type": "object", "additionalProperties": False, "properties": known}
            problems += documents.violations(values, rules, f"--set: {role}")
    options = len(problems)
    nodes = []
    for role, first, count in ROSTER:
        if role not in roles(storage):
            continue
        image = images[role]
        guest = everything or (storage == "nfs" and role in KERNEL)
        if not guest and not image.document["contract"].get("container", True):
            problems.append(f"{image.path}: the systemd of {image.document['distro']} does not run in a container on "
                            "current hosts")
        elif not guest and not image.tree:
            problems.append(f"{image.path}: the tree it was made from is not in the layer store")
        nodes += [_node(role, first + index, f"{role}-{index + 1}", image, guest, memory or {})
                  for index in range((counts or {}).get(role, count))]
    if problems:
        hint = "Name the store of the build (--store), build again, or boot all by QEMU: --vm."
        raise InputError(problems, hint if len(problems) > options else "Roles and parameters: docs/site.md, `tuning`.")
    merged = {role: {**TUNING.get(role, {}), **(tuning or {}).get(role, {})} for role in images}
    usual = GUEST_SECONDS if any(node.machine == "qemu" for node in nodes) else CONTAINER_SECONDS
    return Plan(name, storage, tuple(nodes), tuple(_vip(images, *row) for row in VIPS),
                tuning={role: values for role, values in merged.items() if values},
                timeout=timeout or usual, firmware=firmware, accel=accel)


def _node(role: str, number: int, name: str, image: Image, guest: bool, memory: Mapping[str, int]) -> NodePlan:
    contract = image.document["contract"]
    address4, address6 = at.pair(number)
    given = int(contract["min_ram_mib"]) if guest else CONTAINER_MIB.get(role, 500)
    return NodePlan(
        name=name, role=role, machine="qemu" if guest else "nspawn",
        uuid=f"5f2d8a51-7f6b-4c1c-9a1e-0c5a9100{number:04d}", mac=f"52:54:00:5b:00:{number:02x}",
        address4=address4, address6=address6, cable=f"node{number}", image=image.path, tree="" if guest else image.tree,
        login=contract["login"], memory_mib=memory.get(role, given), listeners=tuple(contract["listeners"]))


def _vip(images: Mapping[str, Image], name: str, number: int, host: str) -> Vip:
    offered = [(role, port) for role, image in images.items() for port in image.document["contract"]["ports"]
               if port.get("balancer") == name]
    behind = {role for role, _ in offered}
    if len(behind) != 1:
        said = ", ".join(sorted(behind)) or "none"
        raise InputError([f"lab: one role's ports must name the load balancer {name!r}; now: {said}"],
                         "Build the images again, from the roles of this version.")
    address4, address6 = at.pair(number)
    made = tuple(
        VipPort(port["name"], port["port"], port["peers"], port.get("persistence", ""),
                port.get("balance", "round-robin"), "smtp" if port["port"] in SMTP_PORTS else "tcp")
        for _, port in offered)
    return Vip(name, host, address4, address6, behind.pop(), made)
