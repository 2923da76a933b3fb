"""What a role has to prove. A scenario is a module here, found by the name that role.yaml's `verify` gives.

It has `TUNING` (parameters of the role, so that a small node can serve) and `checks()`: names with functions that
take the bench, return a line of detail, and raise `CheckFailed` with what was wrong. It may have `BINDS`: mount points
that the node needs, each with the number of its owner (only a container gets them); `VOLUME_MIB`: the size of the data
volume that the node gets under QEMU; `site_keys()`: further keys of the site document, given the authority.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from mailimg.errors import InputError, StepError
from mailimg.machines.node import Node
from mailimg.peers.directory import Directory
from mailimg.peers.platform import Platform
from mailimg.peers.sink import Sink
from mailimg.verify.surroundings import Surroundings
from mailimg.verify.values import CheckResult, RoleView


class CheckFailed(Exception):  # noqa: N818 - it is a finding, not an error of the program
    """What a check found wrong, in words."""


@dataclass(frozen=True)
class Bench:
    """What a check can talk to.

    Args:
        sink: the delivery layer.
        platform: everything else around the node.
        site: what the node joins.
        authority: file with the certificate that those of the node and of its peers chain to.
        volume: file of the node's data volume, if a scenario asked for one (`VOLUME_MIB`) and the node has disks.
        power_cycle: shuts the node down, calls its argument, starts the node again; returns the agent's last word.
        figures: what was measured, for the result.
        tree: the root tree that the node was made from; only a container has one.
        mounts: folders of the host that the node sees as mounted, by the path where it does.
        patience: seconds that mail may take through an unhurried node.
    """

    role: RoleView
    node: Node
    directory: Directory
    sink: Sink
    platform: Platform
    site: Surroundings
    authority: Path
    volume: Path | None
    power_cycle: Callable[[Callable[[], None]], str]
    figures: dict[str, float] = field(default_factory=dict)
    patience: float = 180.0
    tree: Path | None = None
    mounts: Mapping[str, Path] = field(default_factory=dict)


Check = Callable[[Bench], str]
B = TypeVar("B")


class Scenario(Protocol):
    """The shape of a scenario's module."""

    TUNING: Mapping[str, Any]

    def checks(self) -> Sequence[tuple[str, Check]]:
        """Names and functions, in the order in which they run."""


def find(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        InputError: there is none.
    """
    module = f"{__name__}.{name}"
    if not name.isidentifier() or importlib.util.find_spec(module) is None:
        raise InputError([f"verify: there is no scenario {name!r}"])
    return cast(Scenario, importlib.import_module(module))


def run(checks: Sequence[tuple[str, Callable[[B], str]]], bench: B,
        done: Callable[[CheckResult], None]) -> list[CheckResult]:
    """Run all checks; one that fails does not stop the next.

    Args:
        bench: what each check gets.
        done: gets each result at once.
    """
    results = []
    for name, check in checks:
        started = time.monotonic()
        try:
            detail, ok = check(bench), True
        except CheckFailed as found:
            detail, ok = str(found), False
        except StepError as error:
            detail, ok = "\n".join([error.message, *error.tail[-5:]]), False
        except Exception as error:  # noqa: BLE001 - a server that answers what no check expects fails that check only
            place = traceback.extract_tb(error.__traceback__)[-1]
            detail, ok = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})", False
        result = CheckResult(name, ok, time.monotonic() - started, detail)
        results.append(result)
        done(result)
    return results


def until(condition: Callable[[], bool], seconds: float, pause: float = 1.0) -> bool:
    """Ask until it is true; False when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
