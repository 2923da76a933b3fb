"""Boot what was built and speak to it from outside.

Everything happens in namespaces of its own (processes, mounts, network): bridge, daemons and node vanish when the
command ends, however it ends. What is booted is not changed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.errors import InputError, StepError
from mailimg.verify import surroundings
from mailimg.verify.cloud import Cloud
from mailimg.verify.report import check_line
from mailimg.verify.tools import BACKENDS
from mailimg.verify.values import CheckResult, Request, RoleView, VerifyResult

__all__ = ["CheckResult", "Cloud", "RoleView", "VerifyResult", "verify_image", "verify_tree"]


def verify_image(
    image: Path,
    role: RoleView,
    *,
    report: Callable[[str], None],
    firmware: str = "bios",
    accel: str = "auto",
    memory_mib: int = 2048,
    timeout: float = 600.0,
    scratch: Path | None = None,
    peers: Path | None = None,
    cloud: Cloud | None = None,
) -> VerifyResult:
    """Boot a disk image under QEMU, on a throw-away overlay, and run the role's scenarios against it.

    Args:
        image: qcow2 or raw.
        report: gets one line a phase, a line of the agent, and a check.
        firmware: `bios` or `uefi`.
        accel: `auto`, `kvm` or `tcg`.
        memory_mib: memory of the guest in MiB.
        timeout: seconds until the agent must have said ready or FAILED; an emulated CPU needs minutes.
        scratch: where the overlay goes (as large as what the guest writes); the system's temporary folder by default.
        peers: where first states of peers are kept from one verification to the next.
        cloud: that the node is a server of; without one it is in no pool.

    Raises:
        InputError: there is no such image, or a scenario does not exist.
        StepError: the verification itself could not be done; what the node does wrong is in the result.
    """
    if not image.is_file():
        raise InputError([f"{image}: there is no such image"])
    options: dict[str, Any] = {"firmware": firmware, "accel": accel, "memory_mib": memory_mib, "timeout": timeout}
    return _verify("qemu", image, role, options, report, scratch, peers, cloud)


def verify_tree(
    tree: Path, role: RoleView, *, report: Callable[[str], None], timeout: float = 180.0, scratch: Path | None = None,
    peers: Path | None = None, cloud: Cloud | None = None,
) -> VerifyResult:
    """Boot a root tree in a container (systemd-nspawn) and run the role's scenarios against it.

    Kernel, boot loader and disk are not proved by it; everything else is, in seconds. Arguments, result and errors
    as of `verify_image`.
    """
    if not (tree / "usr").is_dir():
        raise InputError([f"{tree}: not a root tree"])
    return _verify("nspawn", tree, role, {"timeout": timeout}, report, scratch, peers, cloud)


def _verify(backend: str, subject: Path, role: RoleView, options: dict[str, Any], report: Callable[[str], None],
            parent: Path | None, peers: Path | None, cloud: Cloud | None) -> VerifyResult:
    missing = {program: package for program, package in BACKENDS[backend].items() if process.which(program) is None}
    if missing:
        raise StepError(f"verify: these programs are not installed: {', '.join(sorted(missing))}",
                        f"Install the packages {' '.join(sorted(set(missing.values())))}.")
    if os.geteuid() != 0:
        raise StepError("verify: namespaces, bridge and containers need root", "Run it as root.")
    events: dict[str, Any] = {}
    noise: list[str] = []

    def line(text: str) -> None:
        event, value = _event(text)
        if event == "line":
            report(value)
        elif event == "check":
            report(check_line(CheckResult(**value)))
        elif event:
            events[event] = value
        else:
            noise.append(text)

    with tempfile.TemporaryDirectory(prefix="mailimg-verify-", dir=parent) as name, ExitStack() as running:
        if cloud is not None:
            options = {**options, "cloud": cloud.to_dict()}
            for relay in surroundings.outside(Path(name), cloud.reach):
                running.callback(relay.stop)
                relay.start()
        request = Request(role, backend, str(subject.absolute()), name,
                          peers="" if peers is None else str(peers.absolute()), **options)
        file = Path(name) / "request.json"
        file.write_text(json.dumps(request.to_dict()))
        # The inner half must be this very package, also where it is not installed.
        env = {"PYTHONPATH": str(Path(__file__).parents[2])}
        argv = process.confine([sys.executable, "-m", "mailimg.verify", str(file)], network=True)
        code = process.stream(argv, what="verify", line=line, env=env)
    if "result" in events:
        return VerifyResult.from_dict(events["result"])
    if "error" in events:
        told = events["error"]
        if told["code"] == InputError.exit_code:
            raise InputError(told["message"].splitlines(), told["hint"])
        raise StepError(told["message"], told["hint"], told["tail"])
    raise StepError(f"verify: the inner process ended with {process.exit_words(code)} and without a result",
                    tail=noise[-process.TAIL_LINES:])


def _event(text: str) -> tuple[str, Any]:
    """One line of the inner half: an event and its value, or "" for anything else (a warning, a traceback)."""
    try:
        data = json.loads(text)
    except ValueError:
        return "", None
    if isinstance(data, dict) and set(data) == {"event", "value"}:
        return str(data["event"]), data["value"]
    return "", None
