"""`make bench-join`: how long a node takes to join its site and to leave it, natively, with every peer answering.

    joining.py [--store STORE] [ROLE ...]

Builds what is missing, starts Keystone, Barbican and Octavia, and boots each role in a container, as `mailimg verify`
and `mailimg verify --cloud` do, mostly without the scenarios of its daemons. A domain and an HTTPS server with its
certificate are there always; with the cloud every secret is fetched from Barbican first, and the pools are joined.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "firstboot"))

import cloud
from cloud.verification import described
from rich.console import Console
from rich.table import Table

from mailimg import manifest, process
from mailimg.commands.verify import role_view, stored_tree
from mailimg.store import DEFAULT_ROOT
from mailimg.verify import Cloud, RoleView, VerifyResult, verify_tree
from mailimg.verify.report import WORDS, check_line

ROLES, DISTRO = ("smtp-out", "pop-imap-lda"), "debian-12"
CLOUD = " + cloud"

# Promised seconds, by the names of the figures; those of the agent's start are its own work, without a Barbican's.
LIMITS = {"agent_says": 0.4, "agent_plans": 0.4, "ready": 20.0, "agent_cpu": 3.0, "unchanged": 2.0}
WITH_CLOUD = {name: limit for name, limit in LIMITS.items() if name != "agent_plans"}


def joined(rig: cloud.Rig | None, image: Path, store: Path) -> VerifyResult:
    """One node, from boot to leave; without a rig it has no cloud."""
    document: dict[str, Any] = dict(manifest.read(image))
    whole = role_view(document)
    # Dovecot's mailboxes have to be mounted: that is a scenario's.
    view = RoleView(whole.name, whole.listeners, tuple(one for one in whole.scenarios if one == "access"), whole.login)
    around = None
    if rig is not None:
        project = rig.project()
        ports = {one["name"]: one["port"] for one in document["contract"]["ports"]}
        pools = project.load_balancer(f"bench-{view.name}", ports).pools
        around = Cloud.from_dict(described(rig, project, pools), "rig")
    return verify_tree(stored_tree(document, store), view, report=lambda _: None, peers=store / "peers", cloud=around)


def main() -> int:
    """Print a table; 1 when a node did not join and leave, or a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("roles", nargs="*", default=ROLES)
    chosen = parser.parse_args()
    found: dict[str, VerifyResult] = {}
    with tempfile.TemporaryDirectory(prefix="mailimg-bench-") as output, cloud.openstack(chosen.store / "cache") as rig:
        for role in chosen.roles:
            process.run([Path(sys.executable).parent / "mailimg", "build", "--role", role, "--distro", DISTRO,
                         "--output", output, "--store", chosen.store], what=f"build {role}")
            for name, around in ((role, None), (f"{role}{CLOUD}", rig)):
                found[name] = joined(around, Path(output) / f"{role}-{DISTRO}.qcow2", chosen.store)
    console = Console(width=140)
    table = Table("seconds", *found, "promised", title="joining and leaving", title_justify="left")
    for name, words in WORDS.items():
        limit = LIMITS.get(name)
        cells = [f"{one.figures[name]:.2f}" if name in one.figures else "-" for one in found.values()]
        table.add_row(words, *cells, "" if limit is None else f"< {limit:g}")
    console.print(table)
    failed = [check_line(check) for one in found.values() for check in one.checks if not check.ok]
    failed += [f"{role}: {WORDS[name]}: {one.figures.get(name)} s, promised {limit:g} s"
               for role, one in found.items() for name, limit in (WITH_CLOUD if CLOUD in role else LIMITS).items()
               if not one.figures.get(name, limit) < limit]
    for line in failed:
        console.print(line, markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
