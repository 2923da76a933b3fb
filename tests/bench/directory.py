"""`make bench-directory`: how many computers a second a domain controller takes in, and lets go.

    directory.py [--computers N] [--together N...] [--json FILE]

A real controller (Samba's) and adcli, as the agent runs it, in namespaces of their own: one login, then an account for
each computer, made by so many at a time, and deleted again. What a controller of Microsoft's takes is to be measured
there; the ratio of one at a time to many tells how far joins get in each other's way.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mailimg import process
from mailimg.errors import StepError
from mailimg.load.figures import percentile
from mailimg.machines import network
from mailimg.peers import addresses as at
from mailimg.peers import domain
from mailimg.peers.authority import Authority

COMPUTERS, TOGETHER = 60, (1, 4, 16)
WARM_SECONDS = 60.0
INSIDE = "--inside"
KRB5 = f"[libdefaults]\ndefault_realm = {at.AD_REALM}\ndns_lookup_kdc = true\nrdns = false\n"


class Site:
    """The controller, and who joins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "resolv.conf").write_text(f"nameserver {at.DC4}\n")
        (folder / "krb5.conf").write_text(KRB5)
        self.env = {"KRB5_CONFIG": str(folder / "krb5.conf")}
        network.lay("nspawn")
        process.run(["mount", "--bind", folder / "resolv.conf", Path("/etc/resolv.conf").resolve()],
                    what="use the domain's name server", timeout=20)
        authority = Authority(folder)
        state = domain.provision(folder / "cache")
        self.dc = domain.DomainController(folder / "dc", state, authority.issue(at.DC_NAME, at.DC4), authority.file)

    def join(self, name: str) -> None:
        """One computer's account, with its keytab."""
        self._adcli("join", [f"--computer-name={name}", f"--host-fqdn={name}.{at.AD_DOMAIN}",
                             f"--domain-ou={self.dc.ou}", f"--host-keytab={self.folder / name}.keytab"])

    def warm(self) -> None:
        """One computer in and out; the controller's first accounts wait for its pool of identifiers (RIDs)."""
        deadline = time.monotonic() + WARM_SECONDS
        while True:
            try:
                self.join("BENCH-FIRST")
                break
            except StepError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
        self.leave("BENCH-FIRST")

    def leave(self, name: str) -> None:
        """Its account goes."""
        self._adcli("delete-computer", [name])

    def _adcli(self, verb: str, words: list[str]) -> None:
        process.run(["adcli", verb, f"--domain={at.AD_DOMAIN}", f"--domain-controller={at.DC_NAME}",
                     f"--login-user={self.dc.joiner}", "--stdin-password", *words],
                    what=f"adcli {verb}", stdin=self.dc.joiner_password.encode(), env=self.env, timeout=300)


def timed(work: Callable[[str], None], names: list[str], together: int) -> dict[str, float]:
    """All of them, so many at a time."""
    def one(name: str) -> float:
        begun = time.monotonic()
        work(name)
        return time.monotonic() - begun

    begun = time.monotonic()
    with ThreadPoolExecutor(together) as pool:
        each = list(pool.map(one, names))
    seconds = time.monotonic() - begun
    return {"rate": len(names) / seconds, "p50": percentile(each, 50), "p99": percentile(each, 99)}


def inside(count: int, together: list[int]) -> None:
    """Measure, in namespaces of this process's own; prints JSON."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mailimg-bench-") as name:
        site = Site(Path(name))
        with site.dc as dc:
            # It listens a moment before it has its zones.
            domain.wait_for_name(at.DC_NAME, at.DC4)
            site.warm()
            for number in together:
                names = [f"BENCH-{number}-{index}" for index in range(count)]
                joined = timed(site.join, names, number)
                made = len(dc.computers())
                found[str(number)] = {"join": joined, "leave": timed(site.leave, names, number), "made": made,
                                      "stayed": len(dc.computers())}
    sys.stdout.write(json.dumps(found) + "\n")


def main() -> int:
    """Print the table; 1 when an account was not made, or stayed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--computers", type=int, default=COMPUTERS)
    parser.add_argument("--together", type=int, nargs="+", default=list(TOGETHER), help="joins at a time")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        inside(chosen.computers, chosen.together)
        return 0
    argv = [sys.executable, __file__, INSIDE, "--computers", str(chosen.computers), "--together",
            *map(str, chosen.together)]
    try:
        told = process.run(process.confine(argv, network=True), what="join and leave a domain", timeout=1800)
    except StepError as error:
        sys.exit("\n".join([*error.tail, f"error: {error.message}"]))
    figures = json.loads(told.stdout.splitlines()[-1])
    made = Table("", *[f"{number} at a time" for number in figures], title_justify="left",
                 title=f"{chosen.computers} computers, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for verb in ("join", "leave"):
        for key, words, form in (("rate", "a second", "{:.1f}"), ("p50", "seconds of one, p50", "{:.2f}"),
                                 ("p99", "p99", "{:.2f}")):
            made.add_row(f"{verb}: {words}", *[form.format(one[verb][key]) for one in figures.values()])
    console = Console(width=120)
    console.print(made)
    problems = [f"{number} at a time: {one['made']} accounts were made, {one['stayed']} stayed"
                for number, one in figures.items() if (one["made"], one["stayed"]) != (chosen.computers, 0)]
    for line in problems:
        console.print(line, markup=False)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
