"""A small installation to break: all real elements, one more of our own, and one small role that uses it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailimg import resources

DRIVER = Path(__file__).with_name("mailimg_at.py")
DISTRO = "debian-12"
ROLE = """\
schema: 1
role: tiny
summary: the smallest role that makes an image
layers:
  - {name: tiny, elements: [tiny]}
site: []
services: []
files: []
ports: []
listeners: []
health: []
verify: []
"""
IMAGE = "{schema: 1, role: tiny, disk_gib: 2, min_ram_mib: 256}\n"
HOOK = "#!/bin/bash\nset -eu -o pipefail\n"
# The disk stage wants a kernel to boot; none of these images is booted.
KERNEL = HOOK + "echo none > /vmlinuz\necho none > /initrd.img\n"


@dataclass(frozen=True)
class Site:
    """An installation below `folder` and the store that its builds use."""

    folder: Path
    store: Path

    def hooks(self, scripts: Mapping[str, str]) -> None:
        """Make these, by `phase.d/name`, the only hooks of element tiny."""
        element = self.folder / "elements" / "tiny"
        shutil.rmtree(element, ignore_errors=True)
        element.mkdir()
        (element / "element-deps").write_text("mailimg-layer\n")
        for name, text in {"install.d/10-tiny-kernel": KERNEL, **scripts}.items():
            path = element / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)

    def command(self, *arguments: str | Path, host: Sequence[str] = ()) -> list[str]:
        """`mailimg ARGUMENTS` in this installation; `host` is what mailimg_at.py changes about the host."""
        return [sys.executable, str(DRIVER), str(self.folder), *host, "--", *map(str, arguments)]

    def build_arguments(self, output: Path, *more: str) -> list[str]:
        return [
            "build", "--role", "tiny", "--distro", DISTRO, "--store", str(self.store), "--output", str(output),
            "--compress", "none", "--json", *more,
        ]  # fmt: skip

    def build(self, output: Path, *more: str, host: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Build to the end, whatever the end is."""
        return run(self.command(*self.build_arguments(output, *more), host=host))

    def start(self, output: Path, *more: str) -> subprocess.Popen[str]:
        """Begin a build; the caller ends it."""
        return subprocess.Popen(
            # Whoever starts the tests in the background lets their children ignore Ctrl-C.
            ["/usr/bin/env", "--default-signal=INT", *self.command(*self.build_arguments(output, *more))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def plan(self) -> dict[str, Any]:
        """The plan with the identities that a build uses."""
        answer = run(self.command("plan", "--role", "tiny", "--distro", DISTRO, "--resolve", "--json"))
        assert answer.returncode == 0, answer.stderr
        plans: list[dict[str, Any]] = json.loads(answer.stdout)
        return plans[0]

    def layers(self) -> set[str]:
        """Identities of the layers that the store shows."""
        return {path.name for path in (self.store / "layers").iterdir()}

    def work(self) -> list[Path]:
        """What running or killed builds have in the store."""
        return [path for path in (self.store / "work").iterdir() if path.is_dir()]

    def mounts(self) -> list[str]:
        """Mounts in the store."""
        return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.store) in line]

    def loops(self) -> list[str]:
        """Loop devices on files of the store."""
        backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
        return [text for text in backing if str(self.store) in text]

    def processes(self) -> list[str]:
        """Programs that name the store in their arguments, or live in it."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                places = [str((folder / link).readlink()) for link in ("root", "cwd", "exe")]
            except OSError:
                continue
            if any(str(self.store) in text for text in (words, *places)):
                found.append(f"{folder.name} {words}")
        return found

    def assert_quiet(self) -> None:
        """Nothing of a build is left on the host."""
        running = self.processes()
        assert running == [], running
        assert self.mounts() == []
        assert self.loops() == []
        assert self.work() == []


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)


def make_site(folder: Path, store: Path) -> Site:
    """Lay an installation out in `folder`."""
    real = resources.installed()
    shutil.copytree(real.elements, folder / "elements")
    shutil.copytree(real.firstboot, folder / "firstboot", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "roles" / "tiny" / "templates").mkdir(parents=True)
    (folder / "roles" / "tiny" / "role.yaml").write_text(ROLE)
    (folder / "images").mkdir()
    (folder / "images" / "tiny.yaml").write_text(IMAGE)
    return Site(folder, store)
