"""What a lab has to prove. A group of checks is a module here, found by its name (`mailimg lab test --only NAME`).

It has `checks()`: names with functions that take the bench, return a line of detail, and raise `CheckFailed` with what
was wrong, as the scenarios of `mailimg verify` do. `EXTRA = True` keeps a group out of a run that names none.
A check runs in the lab's own namespaces: it can connect to every address, come from every address of a peer, and names
are those of the lab's DNS.
"""

from __future__ import annotations

import importlib
import pkgutil
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from mailimg.errors import InputError
from mailimg.lab import control, start
from mailimg.lab.internet import Arrivals
from mailimg.lab.plan import NodePlan, Plan
from mailimg.lab.state import State
from mailimg.machines.node import Node
from mailimg.verify.scenarios import CheckFailed, run, until

__all__ = ["Bench", "Check", "CheckFailed", "find", "groups", "run", "until"]


@dataclass(frozen=True)
class Bench:
    """What a check can talk to.

    Attributes:
        passwords: `people` (every account of the directory), `master`, `admin`, `joiner`.
        nodes: SSH to each node, by name.
        sender, receiver: what the Internet's two mail hosts keep (`peers.addresses`: SENDER_DOMAIN, FOREIGN_DOMAIN).
        figures: what was measured, for the result.
        patience: seconds that mail may take through an unhurried platform.
    """

    plan: Plan
    state: State
    passwords: Mapping[str, str]
    nodes: Mapping[str, Node]
    sender: Arrivals
    receiver: Arrivals
    figures: dict[str, float] = field(default_factory=dict)
    patience: float = 120.0

    @property
    def password(self) -> str:
        """Of every person in the directory."""
        return self.passwords["people"]

    @property
    def emulated(self) -> bool:
        """Whether the mailbox servers are guests, which take seconds for what containers do at once."""
        return self.plan.of("pop-imap-lda")[0].machine == "qemu"

    @property
    def tls(self) -> ssl.SSLContext:
        """TLS of a client that trusts the lab's authority and nobody else; connect by name."""
        return ssl.create_default_context(cafile=str(self.state.authority))

    def host(self, vip: str) -> str:
        """Name of a virtual address; the lab's DNS has it."""
        return self.plan.vip(vip).host

    def address(self, vip: str, version: int = 4) -> str:
        """A virtual address."""
        found = self.plan.vip(vip)
        return found.address4 if version == 4 else found.address6

    def of(self, role: str) -> list[NodePlan]:
        """The nodes of a role."""
        return self.plan.of(role)

    def first(self, role: str) -> Node:
        """SSH to the first node of a role."""
        return self.nodes[self.of(role)[0].name]

    def peer_folder(self, name: str) -> Path:
        """A peer's logs and data."""
        return self.state.folder / "peers" / name

    def stop(self, name: str) -> Any:
        """Stop a peer, or power a node off."""
        self._forget(name)
        return control.ask(self.state.control, "stop", name)

    def kill(self, name: str) -> Any:
        """Cut a node's power."""
        self._forget(name)
        return control.ask(self.state.control, "kill", name)

    def start(self, name: str) -> Any:
        """Start a peer or node again; of a node: until it is ready."""
        return control.ask(self.state.control, "start", name)

    def _forget(self, name: str) -> None:
        if name in self.nodes:
            self.nodes[name].forget()


Check = Callable[[Bench], str]


class Group(Protocol):
    """The shape of a group's module."""

    def checks(self) -> Sequence[tuple[str, Check]]:
        """Names and functions, in the order in which they run."""


def groups() -> list[str]:
    """Names of all groups: modules here that have `checks`."""
    names = [found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return [name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "checks")]


def usual() -> list[str]:
    """The groups that run when none is named."""
    return [name for name in groups() if not getattr(importlib.import_module(f"{__name__}.{name}"), "EXTRA", False)]


def find(names: Sequence[str]) -> list[tuple[str, Group]]:
    """The groups of these names.

    Raises:
        InputError: with all that do not exist.
    """
    known = groups()
    wrong = [f"--only {name}: there are no such checks" for name in names if name not in known]
    if wrong:
        raise InputError(wrong, f"There are: {', '.join(known)}.")
    return [(name, cast(Group, importlib.import_module(f"{__name__}.{name}"))) for name in names]


def acquaint(bench: Bench) -> None:
    """Let each mailbox server know of the others now, and not in the middle of a check: users change servers then."""
    for node in bench.of("pop-imap-lda"):
        bench.nodes[node.name].ask(["mailimg-firstboot", "siblings", "--quiet"], check=False)


def bench(state: State) -> Bench:
    """The bench of a running lab; to be made inside it."""
    plan = start.plan_of(state)
    nodes = {node.name: Node(node.login, state.key, node.address4, keep=True) for node in plan.nodes}
    peers = state.folder / "peers"
    return Bench(plan, state, state.passwords(), nodes, Arrivals(peers / "sender"), Arrivals(peers / "receiver"))
