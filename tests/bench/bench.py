"""`make bench`: mailimg against a plain disk-image-create, in one run on one machine.

Every run starts `mailimg` as a user does, from a copy of the checkout, so that edits touch no file of yours. Downloads
are cold on both sides: each starts with an empty package cache and its own downloads count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import watch
import yardstick
from figures import Figures, Row, document, report
from yaml import safe_load

from mailimg import apt, gather
from mailimg.errors import StepError
from mailimg.resources import installed
from mailimg.roles import role_names

ROLE, DISTRO = "smtp-in", "debian-12"
PARTS = ("builder", "elements", "roles", "images", "firstboot")
SMALL_PACKAGE = "tree"  # 54 kB, no dependency but libc
UNCHANGED_RUNS = 3
START = "import sys; from mailimg.cli import main; sys.exit(main())"
NOTES = (
    "yardstick: plain disk-image-create (the diskimage-builder that mailimg pins), element debian-minimal, all packages"
    f" of {ROLE}, compressed by qemu-img as it does",
    "package downloads are cold on both sides: every cold run starts with an empty cache and its downloads count",
    "memory: resident memory of all processes together; what they share counts for each",
    "all runs one after the other, in the order of the table, on one machine",
)


@dataclass(frozen=True)
class Bench:
    """Folders of one benchmark, all below `work`; `options` go to every `mailimg build`."""

    work: Path
    options: tuple[str, ...]

    @property
    def checkout(self) -> Path:
        """The copy that is edited and run."""
        return self.work / "checkout"

    def copy(self, source: Path) -> None:
        """Copy what a run needs."""
        for part in PARTS:
            shutil.copytree(source / part, self.checkout / part, ignore=shutil.ignore_patterns("out", "__pycache__"))

    def yardstick(self) -> Row:
        """The plain build."""
        folder = self.work / "plain"
        folder.mkdir()
        resources = installed()
        pairs, distro = gather.load(resources, [ROLE], DISTRO)
        sources = apt.sources(distro.packages["suites"], distro.packages["component"], None)
        image = folder / "yardstick.qcow2"
        packages = yardstick.role_packages(pairs[0][0], distro, resources)
        seen = self.watched("yardstick", yardstick.command(packages, image), [folder],
                            yardstick.environment(sources, folder))
        size = image.stat().st_size
        shutil.rmtree(folder)
        return Row("plain disk-image-create, one image", seen.seconds, size, seen.memory_bytes, seen.disk_bytes)

    def build(self, name: str, what: str, store: str, roles: Sequence[str]) -> Row:
        """One run of `mailimg build`; `store` names store and output folder."""
        output, layers = self.work / f"{store}-images", self.work / f"{store}-layers"
        chosen = [word for role in roles for word in ("--role", role)] if roles else ["--all"]
        argv = [sys.executable, "-c", START, "build", *chosen, "--distro", DISTRO, *self.options, "--store",
                str(layers), "--output", str(output)]
        seen = self.watched(name, argv, [layers, output], {"PYTHONPATH": str(self.checkout / "builder")})
        images = [output / f"{role}-{DISTRO}.qcow2" for role in roles or role_names(installed())]
        size = sum(image.stat().st_size for image in images)
        return Row(what, seen.seconds, size, seen.memory_bytes, seen.disk_bytes)

    def watched(self, name: str, argv: Sequence[str], folders: Sequence[Path], env: dict[str, str]) -> watch.Watched:
        """One run; a line on standard error before and after."""
        say(f"{name} ...")
        seen = watch.run(argv, what=name, log=self.work / f"{name}.log", folders=folders, env=env)
        say(f"{name}: {seen.seconds:.1f} s")
        return seen

    def unchanged(self, every: int) -> Row:
        """The same again: the median of a few runs."""
        rows = [self.build(f"unchanged-{number}", "mailimg: the same again, nothing changed", "all", ())
                for number in range(UNCHANGED_RUNS)]
        middle = statistics.median(row.seconds for row in rows)
        row = next(row for row in rows if row.seconds == middle)
        if row.image_bytes != every:
            raise StepError("an unchanged build changed its images")
        return row

    def edit_template(self) -> None:
        """One more line in one template of the role."""
        template = sorted((self.checkout / "roles" / ROLE / "templates").glob("*.cf.j2"))[0]
        template.write_text(template.read_text() + "# edited\n")

    def add_package(self) -> None:
        """One more package in an element that only the role's own layer uses."""
        role = safe_load((self.checkout / "roles" / ROLE / "role.yaml").read_text())
        wanted = self.checkout / "elements" / role["layers"][-1]["elements"][0] / "package-installs.yaml"
        wanted.write_text(wanted.read_text() + f"{SMALL_PACKAGE}:\n")


def measure(bench: Bench) -> Figures:
    """All runs."""
    bench.copy(installed().elements.parent)
    plain = bench.yardstick()
    one = bench.build("one", f"mailimg: {ROLE}, cold", "one", [ROLE])
    for folder in bench.work.glob("one-*"):
        shutil.rmtree(folder)
    count = len(role_names(installed()))
    every = bench.build("all", f"mailimg: all {count} roles, cold", "all", ())
    unchanged = bench.unchanged(every.image_bytes)
    bench.edit_template()
    template = bench.build("template", "mailimg: one template edited", "all", [ROLE])
    bench.add_package()
    package = bench.build("package", "mailimg: one package added to one role", "all", [ROLE])
    return Figures(plain, one, every, unchanged, template, package)


def say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--work", type=Path, help="folder to work in (10 GiB); the default is a temporary one")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=int, help="images at once; the default is mailimg's own")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("needs root")
    # /var/tmp: on a disk, where /tmp may be memory.
    work = Path(tempfile.mkdtemp(prefix="mailimg-bench-", dir=chosen.work or "/var/tmp"))
    try:
        figures = measure(Bench(work, ("--jobs", str(chosen.jobs)) if chosen.jobs else ()))
    except StepError as error:
        say("\n".join([*error.tail, error.message, error.hint]))
        return 1
    finally:
        for folder in work.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
    notes = [*NOTES, f"{cores} cores, --jobs {chosen.jobs or 'not given'}"]
    sys.stdout.write((json.dumps(document(figures, notes), indent=2) if chosen.json else report(figures, notes)) + "\n")
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
