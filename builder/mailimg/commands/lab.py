"""`mailimg lab`: the whole platform on one machine."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mailimg import doctor, process
from mailimg.commands import labview, options
from mailimg.errors import Problems
from mailimg.lab import control, images, plan, start, testing, usage
from mailimg.lab import state as states
from mailimg.machines.node import Node
from mailimg.verify.report import check_line
from mailimg.verify.values import CheckResult

name_option: options.Decorator = click.option(
    "--name", default="site", show_default=True, help="Which lab: several can run side by side."
)


@click.group()
def lab() -> None:
    """Run the whole platform on this machine, to rehearse what the cloud is to do.

    Active Directory, DNS, load balancer, two mail hosts of the Internet, and a server of each role (two of
    pop-imap-lda) from the built images, in namespaces of their own: nothing outside is touched or reached.

    \b
      mailimg lab up --storage bind       all in containers, up in a minute
      mailimg lab test                    send, receive, read, search, ...
      mailimg lab shell smtp-in           look around on a node
      mailimg lab down
    """


@lab.command()
@click.option(
    "--storage",
    type=click.Choice(["nfs", "bind"]),
    default="nfs",
    show_default=True,
    help="nfs: a storage server and mailbox servers under QEMU, with real NFS. bind: the mailbox servers are containers"
    " that share a folder: up in seconds instead of minutes, without a storage server.",
)
@click.option("--vm", "everything", is_flag=True, help="All nodes under QEMU.")
@click.option(
    "--images",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("images/out"),
    show_default=True,
    help="Folder of the built images.",
)
@click.option("--distro", default="debian-12", show_default=True, help="Distribution of the images.")
@name_option
@click.option("--memory", "memory", metavar="ROLE=MIB", multiple=True, callback=options.pairs_of("--memory"),
              help="Memory of a role's guests, instead of its smallest flavor's.")
@click.option("--nodes", "counts", metavar="ROLE=COUNT", multiple=True, callback=options.pairs_of("--nodes"),
              help="Nodes of a role, instead of the usual number.")
@click.option("--set", "settings", metavar="ROLE.NAME=VALUE", multiple=True, callback=options.pairs_of("--set"),
              help="A tuning parameter of a role, as in `tuning` of the site document.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=None,
    help=f"Seconds that a node may take; {plan.CONTAINER_SECONDS:g} by default, with guests {plan.GUEST_SECONDS:g}.",
)
@click.option("--firmware", type=click.Choice(["bios", "uefi"]), default="bios", show_default=True,
              help="What guests boot with.")
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True,
              help="How QEMU runs guests.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be started, and start nothing.")
@options.store
@options.as_json
def up(
    storage: str, everything: bool, folder: Path, distro: str, name: str, memory: tuple[tuple[str, str], ...],
    counts: tuple[tuple[str, str], ...], settings: tuple[tuple[str, str], ...], timeout: float | None, firmware: str,
    accel: str, only_plan: bool, store: Path, as_json: bool,
) -> None:
    """Start the platform and wait until every node is ready.

    It runs on when the command has ended, until `mailimg lab down`.
    """
    problems = Problems()
    problems.of(lambda: states.State(name))
    sizes = labview.numbers("--memory", memory, "MiB", 64, problems.found)
    numbers = labview.numbers("--nodes", counts, "nodes", 1, problems.found)
    tuning = labview.parameters(settings, problems.found)
    given = problems.of(lambda: images.find(folder, plan.roles(storage), distro, store))
    if given is None:
        problems.found += plan.misfits(plan.roles(storage), sizes, tuning, numbers)
        problems.stop()
    made = problems.of(lambda: plan.make(given or {}, name=name, storage=storage, everything=everything, memory=sizes,
                                         counts=numbers, tuning=tuning, timeout=timeout, firmware=firmware,
                                         accel=accel))
    problems.stop()
    assert made is not None  # noqa: S101 - a problem otherwise
    if only_plan:
        click.echo(json.dumps(made.to_dict(), indent=2) if as_json else "\n".join(labview.plan_lines(made)))
        return
    options.need_root("the lab")
    doctor.missing_tools("verify", "lab")
    console = Console(stderr=True)
    console.print(start.check_memory(made, Path("/proc/meminfo").read_text()), highlight=False)
    start.check_watches(made, int(usage.WATCH_LIMIT.read_text()), usage.watches())
    begun = time.monotonic()

    def tell(event: dict[str, Any]) -> None:
        for line in labview.event_lines(event):
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    start.up(made, store / "peers", tell)
    state = start.running(name)
    console.print(f"up after {time.monotonic() - begun:.1f} s", highlight=False)
    labview.show(labview.status(state), as_json)


@lab.command()
@name_option
@options.as_json
def status(name: str, as_json: bool) -> None:
    """Say what runs: nodes, peers, virtual addresses, and where their logs are.

    Exit status 1 when something does not serve.
    """
    options.need_root("the lab")
    told = labview.status(start.running(name))
    labview.show(told, as_json)
    if told["phase"] != "up" or any(node["state"] != "ready" for node in told["nodes"].values()) or not all(
            told["peers"].values()):
        sys.exit(1)


@lab.command()
@name_option
def down(name: str) -> None:
    """End the platform and remove all of it; nothing happens when there is none."""
    options.need_root("the lab")
    state = states.State(name)
    there = state.folder.exists()
    with process.undisturbed():
        start.down(state)
    click.echo(f"lab {name}: {'ended' if there else 'did not run'}", err=True)


def order(verb: str, name: str, who: tuple[str, ...]) -> None:
    """Carry out an order for each of `who`, in turn."""
    options.need_root("the lab")
    state = start.running(name)
    for one in who:
        begun = time.monotonic()
        control.ask(state.control, verb, one)
        click.echo(f"{one}: {verb}, {time.monotonic() - begun:.1f} s", err=True)


@lab.command()
@click.argument("who", nargs=-1, required=True)
@click.option("--hard", is_flag=True, help="Cut a node's power instead of shutting it down.")
@name_option
def stop(who: tuple[str, ...], hard: bool, name: str) -> None:
    """Stop nodes or peers (WHO: names as `lab status` has them), to see what the others do."""
    order("kill" if hard else "stop", name, who)


@lab.command("start")
@click.argument("who", nargs=-1, required=True)
@name_option
def start_again(who: tuple[str, ...], name: str) -> None:
    """Start nodes or peers again, with the disks they had; of a node, wait until it is ready."""
    order("start", name, who)


@lab.command()
@click.argument("node")
@click.option("--console", "of_console", is_flag=True, help="What it said while it booted, instead of its journal.")
@name_option
def logs(node: str, of_console: bool, name: str) -> None:
    """Print the log of NODE, or of a peer."""
    options.need_root("the lab")
    path = labview.log_of(start.running(name), node, of_console)
    with path.open(errors="replace") as file:
        for line in file:
            click.echo(line, nl=False)


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@name_option
def shell(node: str, command: tuple[str, ...], name: str) -> None:
    """Run COMMAND on NODE as root, or a shell; the exit status is the command's."""
    options.need_root("the lab")
    state = start.running(name)
    where = start.plan_of(state).node(node)
    terminal = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    argv = Node(where.login, state.key, where.address4).argv(list(command), *terminal)
    sys.exit(process.attached(start.inside(state, argv, processes=False), what=f"log in to {where.name}"))


@lab.command()
@name_option
@click.option("--only", metavar="GROUP[,GROUP...]", default="", help="Groups of checks, instead of the usual ones.")
@click.option(
    "--screenshots",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep a copy of what the webmail's checks saw; the lab's own goes with the lab.",
)
@options.as_json
def test(name: str, only: str, screenshots: Path | None, as_json: bool) -> None:
    """Use the running platform as its people, the Internet and its attackers do, and say what holds.

    Exit status 1 when a check fails.
    """
    options.need_root("the lab")
    chosen = testing.groups([one for one in only.split(",") if one])
    state = start.running(name)
    console = Console(stderr=True)

    def told(group: str, check: CheckResult) -> None:
        console.print(f"{group:8} {check_line(check)}", markup=False, highlight=False, soft_wrap=True)
        for line in check.detail.splitlines()[1:]:
            # Of what holds, only tables.
            if not check.ok or line.startswith("  "):
                console.print(f"           {line}", markup=False, highlight=False, soft_wrap=True)

    result = testing.run(state, chosen, told)
    if screenshots is not None:
        screenshots.mkdir(parents=True, exist_ok=True)
        for picture in sorted(state.screenshots.glob("*.png")):
            shutil.copy(picture, screenshots)
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        good = sum(check["ok"] for check in result["checks"])
        click.echo(f"{good} of {len(result['checks'])} checks hold, {result['seconds']} s")
    if not result["ok"]:
        sys.exit(1)


@lab.command("promises")
@options.as_json
def show_promises(as_json: bool) -> None:
    """Print what each role answers while a dependency is away: the table that `lab test --only faults` proves.

    Needs neither a lab nor root.
    """
    # Checks bring the clients of all protocols with them.
    from mailimg.lab.checks import promises

    click.echo(json.dumps(promises.document(), indent=2) if as_json else promises.table())
