"""Images to upload, a clouds.yaml that leads to the rig, and `mailimg` as a person runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cloud import Rig
from cloud.project import Project
from cloud.settings import PASSWORD

from mailimg import manifest, qcow2
from mailimg.cloud import connection, images
from mailimg.cloud.glance import Glance
from mailimg.identity import digest, digest_file

MAILIMG = Path(sys.executable).parent / "mailimg"
MIB = 1024**2
CLOUD = "rig"
PASSED = {"qemu-bios": {"ok": True, "checks": [{"name": "agent: ready", "ok": True, "seconds": 1.0, "detail": ""}]}}
FAILED = {"nspawn": {"ok": False, "checks": [{"name": "mail: clean", "ok": False, "seconds": 1.0, "detail": ""}]}}


def make_image(folder: Path, role: str = "smtp-in", *, mib: int = 2, distro: str = "debian-12",
               verify: dict[str, Any] | None = PASSED, **more: Any) -> Path:
    """A qcow2 of random bytes with a manifest as the builder writes it; another image at each call."""
    folder.mkdir(parents=True, exist_ok=True)
    raw, image = folder / f".{role}.raw", folder / f"{role}-{distro}.qcow2"
    with raw.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
        file.truncate(2 * 1024**3)
    qcow2.write(raw, image, threads=2)
    raw.unlink()
    describe(image, role, distro, verify, **more)
    return image


def describe(image: Path, role: str, distro: str, verify: dict[str, Any] | None, form: str = "qcow2",
             cloud: dict[str, Any] | None = None) -> None:
    """Write a manifest for whatever lies there now."""
    sha256 = digest_file(image)
    family, _, version = distro.partition("-")
    manifest.write(image, {
        "schema": manifest.SCHEMA, "role": role, "distro": distro, "os": {"distro": family, "version": version},
        "identity": digest(f"identity {sha256}"), "version": "0.1.0",
        "image": {"file": image.name, "format": form, "bytes": image.stat().st_size, "virtual_bytes": 2 * 1024**3,
                  "sha256": sha256},
        "contract": {"login": family},
        "cloud": cloud or {"min_ram_mib": 512, "revision": "0123456789abcdef0123456789abcdef01234567",
                           "properties": {"hw_disk_bus": "virtio", "hw_qemu_guest_agent": False,
                                          "os_shutdown_timeout": 1560}},
        "verify": verify,
    })


@dataclass
class Operator:
    """Somebody with a clouds.yaml.

    Args:
        folder: for it, and for images.
        rig: with Keystone and Glance.
        project: of the rig's user, for a look at what is there.
        entry: what clouds.yaml says beyond the login of the rig's user.
        auth: what it says instead of that login.
        before: files in Glance's store at the beginning. Glance on SQLite answers 500 ("database is locked") when much
            happens at once, and then forgets files that it has stored already; mailimg tries again.
    """

    folder: Path
    rig: Rig
    project: Project
    entry: dict[str, Any] = field(default_factory=dict)
    auth: dict[str, str] | None = None
    before: frozenset[str] = frozenset()
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = frozenset(self.stored())

    def environment(self) -> dict[str, str]:
        """Of a command: nothing that could lead to another cloud."""
        usual = {"auth_url": self.rig.auth_url, "username": "site", "password": PASSWORD, "project_name": "site",
                 "user_domain_name": "Default", "project_domain_name": "Default"}
        file = self.folder / "clouds.yaml"
        file.write_text(yaml.safe_dump({"clouds": {CLOUD: {
            "auth": usual if self.auth is None else self.auth, "region_name": "RegionOne",
            "cacert": self.rig.services.ca, **self.entry}}}))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return {**kept, "OS_CLIENT_CONFIG_FILE": str(file), "HOME": str(self.folder)}

    def run(self, *arguments: str | Path, cloud: str = CLOUD) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        return subprocess.run([MAILIMG, *arguments, "--os-cloud", cloud], env=self.environment(), cwd=self.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)

    def good(self, *arguments: str | Path) -> str:
        """What a command says that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Begin a command; whoever runs the tests in the background lets their children ignore Ctrl-C."""
        argv: Sequence[str | Path] = ["/usr/bin/env", "--default-signal=INT", MAILIMG, *arguments, "--os-cloud", CLOUD]
        made = subprocess.Popen(argv, env=self.environment(), cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started.append(made)
        return made

    def upload(self, image: Path, *more: str) -> dict[str, Any]:
        """Upload one image, and what `--json` says of it."""
        (one,) = json.loads(self.good("upload", image, "--json", *more))
        return dict(one)

    def listed(self) -> list[dict[str, Any]]:
        """What `mailimg images --json` says."""
        found: list[dict[str, Any]] = json.loads(self.good("images", "--json"))
        return found

    def states(self) -> dict[str, str]:
        """State of each image by its id."""
        return {one["id"]: one["state"] for one in self.listed()}

    def raw(self) -> dict[str, dict[str, Any]]:
        """All images of the project as Glance shows them, by id; without those that it calls deleted."""
        found = [one for hidden in ("true", "false")
                 for one in self.project.me.get("image", f"/v2/images?os_hidden={hidden}&limit=500")["images"]]
        return {one["id"]: one for one in found if one["status"] != images.GONE}

    def glance(self) -> Glance:
        """The same cloud for code that runs in this process."""
        found = self.environment()
        os.environ["OS_CLIENT_CONFIG_FILE"] = found["OS_CLIENT_CONFIG_FILE"]
        try:
            cloud = connection.find(CLOUD)
        finally:
            del os.environ["OS_CLIENT_CONFIG_FILE"]
        cloud.log_in()
        return Glance(cloud)

    def patch(self, image_id: str, *steps: dict[str, Any]) -> None:
        """Change an image behind mailimg's back."""
        self.project.me.request("image", "PATCH", f"/v2/images/{image_id}", list(steps), headers={
            "Content-Type": "application/openstack-images-v2.1-json-patch"})

    def stored(self) -> list[str]:
        """Names of the files in Glance's store: ids of images with data."""
        names = {path.name for path in (self.rig.services.folder / "data" / "images").iterdir()}
        return sorted(names - self.before)

    def end(self) -> None:
        """End what a failed test left running."""
        for command in self.started:
            command.kill()
            command.communicate()

    def clear(self) -> None:
        """Delete every image of the project."""
        for image_id in self.raw():
            self.project.me.request("image", "DELETE", f"/v2/images/{image_id}")


def sending(command: subprocess.Popen[str]) -> list[str]:
    """Read a command's words until its data is on the way."""
    assert command.stderr is not None
    lines = []
    for line in command.stderr:
        lines.append(line)
        if re.search(r": \d+ of \d+ MiB", line):
            return lines
    raise AssertionError(f"it ended before it sent anything: {''.join(lines)}")


@contextmanager
def frozen(rig: Rig, name: str) -> Iterator[None]:
    """A service neither reads nor answers; its connections stay."""
    process = rig.services.running[name]
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def configured(rig: Rig, name: str, section: str, line: str) -> Iterator[None]:
    """A service restarted with one more line in a section of its configuration, and again without it."""
    file = next((rig.services.folder / "etc" / name).glob(f"{name}*.conf"))
    before = file.read_text()
    with rig.down(name):
        file.write_text(before.replace(f"[{section}]\n", f"[{section}]\n{line}\n", 1) if f"[{section}]\n" in before
                        else f"{before}[{section}]\n{line}\n")
    try:
        yield
    finally:
        with rig.down(name):
            file.write_text(before)
