"""One verification from start to end, inside its namespaces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mailimg.errors import InputError, StepError
from mailimg.machines import network, seed
from mailimg.machines.console import Console
from mailimg.machines.machine import GROWTH, Container, Guest, exited
from mailimg.machines.node import Node
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority, ssh_key
from mailimg.peers.directory import Directory
from mailimg.peers.names import Names
from mailimg.peers.platform import Platform
from mailimg.peers.sink import Sink
from mailimg.verify import membership, metrics, scenarios, timing
from mailimg.verify.cloud import Cloud
from mailimg.verify.scenarios import Bench, Check, CheckFailed
from mailimg.verify.surroundings import Surroundings
from mailimg.verify.values import CheckResult, Request, VerifyResult

SSH_SECONDS = 90.0
POWEROFF_SECONDS = 180.0


def verify(request: Request, report: Callable[[str], None], done: Callable[[CheckResult], None]) -> VerifyResult:
    """Lay the network, start the peers, boot, wait for the agent, run the checks.

    Raises:
        InputError: the request names what does not exist.
        StepError: the surroundings could not be set up; what the node does wrong is in the result instead.
    """
    chosen = [scenarios.find(name) for name in request.role.scenarios]
    tuning: dict[str, Any] = {}
    owners: dict[str, int] = {}
    for scenario in chosen:
        tuning |= scenario.TUNING
        owners |= getattr(scenario, "BINDS", {})
    scratch = Path(request.scratch)
    cloud = None if request.cloud is None else Cloud.from_dict(request.cloud, "cloud")
    started = time.monotonic()
    with ExitStack() as running:
        network.lay(request.backend)
        authority = Authority(scratch)
        directory = Directory(scratch / "directory", authority.issue(at.DIRECTORY_NAME, at.HOST4), authority.file)
        platform = Platform(authority, directory.password)
        names = Names(scratch / "names", {at.DKIM_NAME: platform.dkim_record})
        sink = Sink()
        around = Surroundings(scratch, Path(request.peers or scratch / "peers"), authority, cloud)
        for peer in (names, directory, sink, platform.internet, platform.smtp_out, around):
            running.callback(peer.stop)
            peer.start()
        key, public = ssh_key(scratch)
        keys = platform.site_keys()
        for scenario in chosen:
            if hasattr(scenario, "site_keys"):
                keys |= scenario.site_keys(authority)
        site = seed.site_document(request.role.name, directory.password, authority.pem, tuning, keys)
        seed.write(scratch / "seed", around.site(site), public)
        mounts = stand_ins(scratch, owners)
        machine = make_machine(request, scratch, mounts, sum(getattr(scenario, "VOLUME_MIB", 0) for scenario in chosen))
        report(f"peers are up after {time.monotonic() - started:.1f} s; booting by {machine.description}")
        running.callback(machine.stop)
        console = Console(machine.console, report)
        machine.start()
        node = Node(request.role.login, key, keep=True)

        def power_cycle(between: Callable[[], None]) -> str:
            return cycle(machine, node, between, lambda: until_ready(machine, Console(machine.console, report),
                                                                     request.timeout))

        bench = Bench(request.role, node, directory, sink, platform, around, authority.file, machine.volume,
                      power_cycle, tree=Path(request.subject) if request.backend == "nspawn" else None, mounts=mounts)
        results = scenarios.run([("the agent says ready", lambda _: until_ready(machine, console, request.timeout))],
                                bench, done)
        # Of a node that failed, too: its own words are the best there are. One that never came up has none.
        agent = None
        if console.verdict:
            try:
                node.wait(SSH_SECONDS)
                agent = node.status()
                bench.figures.update(timing.of_boot(node))
            except StepError as error:
                report(f"the agent's status could not be read: {error.message}")
        if results[0].ok:
            checks = common_checks(machine) + membership.joined(cloud is not None)
            for scenario in chosen:
                checks += scenario.checks()
            results += scenarios.run([*checks, *membership.parting()], bench, done)
        whole = all(result.ok for result in results)
        return VerifyResult(request.role.name, machine.description, console.phases, tuple(results), agent,
                            () if whole else tuple(console.tail()), bench.figures)


def stand_ins(scratch: Path, owners: Mapping[str, int]) -> dict[str, Path]:
    """Folders of the host for mount points of the node, with their owners."""
    found = {}
    for index, (inside, owner) in enumerate(owners.items()):
        found[inside] = scratch / f"mount-{index}"
        found[inside].mkdir(mode=0o700)
        os.chown(found[inside], owner, owner)
    return found


def make_machine(request: Request, scratch: Path, mounts: Mapping[str, Path], volume_mib: int) -> Guest | Container:
    """The node, ready to start; under QEMU with a blank volume of `volume_mib`, unless that is 0.

    Raises:
        InputError: a scenario needs mount points, and the node is no container.
    """
    folder, subject = scratch / "node", Path(request.subject)
    if request.backend == "nspawn":
        return Container(folder, subject, scratch / "seed", mounts)
    if mounts:
        raise InputError([f"verify: {', '.join(mounts)} has to be mounted, which only a container can be given"],
                         "Verify with --by nspawn.")
    drive = scratch / "config-drive.iso"
    seed.write_iso(scratch / "seed", drive)
    return Guest(folder, subject, drive, firmware=request.firmware, accel=request.accel, memory_mib=request.memory_mib,
                 volume_mib=volume_mib)


def cycle(machine: Guest | Container, node: Node, between: Callable[[], None], ready: Callable[[], str]) -> str:
    """Shut the node down as an operator does, and start it again with the disks it had.

    Args:
        between: is called while the node is off.
        ready: waits for the agent of the new boot and returns its last word.

    Raises:
        CheckFailed: it does not go down, or does not come up again.
    """
    if not isinstance(machine, Guest):
        raise CheckFailed("a container forgets everything when it stops; verify this by QEMU")
    node.ask(["systemctl", "--no-block", "poweroff"])
    deadline = time.monotonic() + POWEROFF_SECONDS
    while not exited(machine):
        if time.monotonic() > deadline:
            raise CheckFailed(f"not off {POWEROFF_SECONDS:g} s after it was told to power off")
        time.sleep(0.5)
    machine.stop()
    node.forget()
    between()
    machine.console.unlink()
    machine.start()
    word = ready()
    node.wait(SSH_SECONDS)
    return word


def until_ready(machine: Guest | Container, console: Console, seconds: float) -> str:
    """Follow the console until the agent's last word.

    Raises:
        CheckFailed: the agent failed, the node ended, or the time is over.
        StepError: the console shows a system that will never come up.
    """
    deadline = time.monotonic() + seconds
    while True:
        ended = exited(machine)
        console.read()
        if console.verdict:
            break
        why = ""
        if ended:
            why = f"the node ended with {ended}"
        elif time.monotonic() > deadline:
            reached = ", ".join(console.phases) or "nothing"
            why = f"no word from the agent after {seconds:g} s; reached: {reached}"
        if why:
            raise CheckFailed("\n".join([why, *console.tail(), *machine.tail()]))
        time.sleep(0.1)
    if console.verdict.startswith("FAILED"):
        raise CheckFailed("\n".join([console.verdict, *console.tail()]))
    return console.verdict


def common_checks(machine: Guest | Container) -> list[tuple[str, Check]]:
    """What every role has to prove."""
    checks: list[tuple[str, Check]] = [
        ("login with the instance's SSH key", login),
        ("the agent's status says ready", status_ready),
        ("exactly the role's ports listen", listeners),
        ("no unit failed", units),
        ("the metrics tell what the node does", metrics.told),
    ]
    if isinstance(machine, Guest):
        checks.append(("the root filesystem grew with the disk", grown))
    return checks


def login(bench: Bench) -> str:
    """cloud-init made the account and put the key there."""
    bench.node.wait(SSH_SECONDS)
    return f"{bench.node.login}@{bench.node.address}"


def status_ready(bench: Bench) -> str:
    """The agent's status document agrees with the console."""
    status = bench.node.status()
    if status.get("state") != "ready":
        raise CheckFailed(f"state {status.get('state')!r}: {status.get('message')}")
    if status.get("role") != bench.role.name:
        raise CheckFailed(f"role {status.get('role')!r}, expected {bench.role.name!r}")
    return f"{len(status.get('steps', []))} steps, {status.get('boot_seconds')} s after boot"


def listeners(bench: Bench) -> str:
    """Nothing listens that the role does not name, and everything does that it names."""
    found, wanted = set(bench.node.listeners()), set(bench.role.listeners)
    problems = []
    if found - wanted:
        problems.append(f"listening but not named by the role: {sorted(found - wanted)}")
    if wanted - found:
        problems.append(f"named by the role but not listening: {sorted(wanted - found)}")
    if problems:
        raise CheckFailed("; ".join([*problems, bench.node.ask(["ss", "-ltnp"])]))
    return ", ".join(map(str, sorted(found)))


def units(bench: Bench) -> str:
    """systemd counts no failed unit."""
    failed = bench.node.ask(["systemctl", "list-units", "--state=failed", "--no-legend", "--plain"]).strip()
    if failed:
        names = [line.split()[0] for line in failed.splitlines()]
        said = [bench.node.ask(["journalctl", "-o", "cat", "-n", "8", "-u", name], check=False) for name in names]
        raise CheckFailed("\n".join([failed, *said]))
    return "none"


def grown(bench: Bench) -> str:
    """The overlay is larger than the image by `GROWTH`; less than half of it unused means that growpart worked."""
    disk = int(bench.node.ask(["sh", "-c", "lsblk -bndo SIZE /dev/vda"]))
    root = int(bench.node.ask(["sh", "-c", "lsblk -bno SIZE,MOUNTPOINT /dev/vda | awk '$2 == \"/\" {print $1}'"]))
    if disk - root > GROWTH // 2:
        raise CheckFailed(f"the root partition has {root} of {disk} bytes")
    size = int(bench.node.ask(["stat", "-f", "-c", "%b", "/"])) * int(bench.node.ask(["stat", "-f", "-c", "%S", "/"]))
    if root - size > root // 10:
        raise CheckFailed(f"the filesystem has {size} of the partition's {root} bytes")
    return f"{root >> 20} of {disk >> 20} MiB"
