"""`make bench-load`: how much mail a node takes, against the same daemons as the distribution configures them.

    loading.py [--store STORE] [--json FILE] [smtp-in] [pop-imap-lda]

Builds what is missing and boots each role in a container. Between runs the node is switched from our configuration to
Debian's own and back: the same packages, processors, queue on the same disk, letters and connections. Several runs of
each, in turn; medians, and the median of the ratios of neighbours. Every letter that was taken is counted where it
arrives. For figures that mean something nothing else may run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mailimg import manifest, process
from mailimg.commands.verify import role_view, stored_tree
from mailimg.store import DEFAULT_ROOT
from mailimg.verify import RoleView, VerifyResult, verify_tree
from mailimg.verify.report import check_line

DISTRO = "debian-12"
SCENARIOS = {"smtp-in": "load_in", "pop-imap-lda": "load_delivery"}
# The least share of the distribution's own messages a second.
WANTED = {"smtp-in": 1.0, "pop-imap-lda": 0.9}
ROWS = {
    "rate": ("messages a second", "{:.1f}"), "ratio": ("ours divided by it", "{:.2f}"),
    "per core": ("messages for a second of a core", "{:.1f}"),
    "accept p50": ("seconds at the door, p50", "{:.3f}"), "accept p99": ("p99", "{:.3f}"),
    "p50": ("seconds to the end, p50", "{:.2f}"), "p99": ("p99", "{:.2f}"), "memory": ("memory, MiB", "{:.0f}"),
}


def measured(role: str, image: Path, store: Path) -> VerifyResult:
    """One node, from boot to leave."""
    document = dict(manifest.read(image))
    whole = role_view(document)
    view = RoleView(whole.name, whole.listeners, (SCENARIOS[role],), whole.login)
    return verify_tree(stored_tree(document, store), view, report=lambda _: None, peers=store / "peers", timeout=300)


def by_variant(figures: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Figures `role/variant/name` of one role, by variant and name."""
    found: dict[str, dict[str, float]] = {}
    for key, value in figures.items():
        if key.count("/") >= 2:
            _, variant, name = key.split("/", 2)
            found.setdefault(variant, {})[name] = value
    return found


def table(role: str, figures: Mapping[str, float]) -> Table:
    """A column for each configuration."""
    variants = by_variant(figures)
    made = Table(role, *variants, title=f"load on {role}", title_justify="left")
    rest = sorted({name for of in variants.values() for name in of if name.startswith(("cpu ", "memory "))})
    for name, (words, form) in {**ROWS, **{one: (one, "{:.1f}") for one in rest}}.items():
        if name.startswith("cpu "):
            words = f"ms of a core for a message: {name[4:]}"
        made.add_row(words, *[form.format(of[name]) if name in of else "-" for of in variants.values()])
    return made


def main() -> int:
    """Print tables; 1 when mail was lost, or a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("roles", nargs="*", default=list(SCENARIOS), metavar="ROLE")
    chosen = parser.parse_args()
    if wrong := set(chosen.roles) - set(SCENARIOS):
        parser.error(f"no load for {', '.join(sorted(wrong))}; there is one for {', '.join(SCENARIOS)}")
    console, failed, all_figures = Console(width=160), [], {}
    with tempfile.TemporaryDirectory(prefix="mailimg-bench-") as output:
        for role in chosen.roles:
            process.run([Path(sys.executable).parent / "mailimg", "build", "--role", role, "--distro", DISTRO,
                         "--output", output, "--store", chosen.store], what=f"build {role}")
            busy = os.getloadavg()[0]
            result = measured(role, Path(output) / f"{role}-{DISTRO}.qcow2", chosen.store)
            all_figures[role] = result.figures
            console.print(table(role, result.figures))
            console.print(f"{os.cpu_count()} processors; load average {busy:.1f} before the first run")
            failed += [check_line(check) for check in result.checks if not check.ok]
            found = by_variant(result.figures).get("stock", {}).get("ratio", 0.0)
            if found < WANTED[role]:
                failed.append(f"{role}: {found:.2f} of stock, promised {WANTED[role]:g}")
    if chosen.json:
        chosen.json.write_text(json.dumps(all_figures, indent=2) + "\n")
    for line in failed:
        console.print(line, markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
