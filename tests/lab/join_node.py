"""A node for tests of the join: this host's own root directory, booted by systemd-nspawn, with the agent installed.

The root is an overlay in memory, so that nothing reaches the host; systemd, adcli, sssd and Kerberos' programs are the
host's, which has them as an image has. Runs in namespaces of its own, on the bridge of `network.lay`.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from mailimg import process
from mailimg.machines import network
from mailimg.peers import addresses as at
from mailimg.resources import installed

BOOT_SECONDS = 30.0
TARGET = "[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\nAllowIsolate=yes\n"
ROLE = {
    "schema": 1, "role": "smtp-in", "distro": "debian-12", "identity": "0" * 64, "version": "0.1.0", "site": ["join"],
    "parameters": {}, "facts": {}, "services": [], "files": [], "ports": [], "health": [],
}
SECRET = "/etc/join-secret"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


class Node:
    """One machine; `folder` must be empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        process.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder], what="make room for the node")
        self.upper, self.root = folder / "upper", folder / "root"
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        options = f"lowerdir=/,upperdir={self.upper},workdir={folder / 'work'}"
        process.run(["mount", "-t", "overlay", "overlay", "-o", options, self.root], what="lay the node's root")
        self.process: process.Process | None = None
        self.leader = 0
        self._furnish()

    def _furnish(self) -> None:
        # Nothing of what this host does at its own boot.
        units = self.path("/etc/systemd/system")
        shutil.rmtree(units)
        units.mkdir()
        (units / "node.target").write_text(TARGET)
        self.write("/etc/fstab", "")
        self.write("/etc/machine-id", "")
        self.write("/etc/hostname", "localhost\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.path("/etc/resolv.conf").unlink()
        self.write("/etc/resolv.conf", f"nameserver {at.DC4}\n")
        self.write("/etc/mailimg/role.json", json.dumps(ROLE))
        self.path("/usr/share/mailimg/templates").mkdir(parents=True, exist_ok=True)
        agent = installed().firstboot
        shutil.copytree(agent / "mailimg_firstboot", self.path("/usr/lib/mailimg/mailimg_firstboot"),
                        ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(agent / "bin/mailimg-firstboot", self.path("/usr/sbin/mailimg-firstboot"))
        shutil.copy(agent / "systemd/mailimg-firstboot.service", self.path("/usr/lib/systemd/system"))
        shutil.copy(Path(__file__).with_name("join_agent.py"), self.path("/usr/lib/mailimg/join_agent.py"))
        for socket in self.path("/usr/lib/systemd/system").glob("sssd-*.socket"):
            socket.unlink()
        for name in ("/etc/krb5.keytab", "/etc/krb5.conf", "/etc/sssd/sssd.conf"):
            self.path(name).unlink(missing_ok=True)
        for kept in self.path("/var/lib/sss/db").glob("*"):
            kept.unlink()

    def path(self, path: str) -> Path:
        """A path of the node, seen from here."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file there."""
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        self.path(path).chmod(mode)

    def seed(self, uuid: str, join: dict[str, Any], secret: str) -> None:
        """The metadata of an instance; `secret` is in the file that `SECRET` names."""
        folder = "/var/lib/cloud/seed/config_drive/openstack/latest/"
        self.write(folder + "meta_data.json", json.dumps({"uuid": uuid, "hostname": at.NODE_NAME, "meta": {}}))
        self.write(folder + "user_data", yaml.safe_dump({"mailimg": 1, "join": join}, sort_keys=False))
        self.write(SECRET, secret + "\n", 0o600)

    def start(self) -> None:
        """Boot and wait until systemd has what the agent needs."""
        process.run(["mount", "-o", "remount,bind,ro", "/sys"], what="prepare the container", timeout=20)
        argv = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={self.root}",
                "--machine=node", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
                f"--network-interface={network.INSIDE}", "--console=read-only", "--boot", "--",
                "systemd.unit=node.target"]
        with (self.folder / "console").open("ab") as console:
            self.process = process.start(argv, what="boot the node", stdout=console, stderr=process.STDOUT)
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            self.leader = self._leader()
            if self.leader:
                done = self.run(["systemctl", "is-active", "node.target"], check=False)
                if done.stdout.strip() == "active":
                    break
            assert time.monotonic() < deadline, (self.folder / "console").read_text(errors="replace")
            time.sleep(0.05)
        for words in (f"addr add {at.NODE4}/24 dev {network.INSIDE}", f"link set {network.INSIDE} up",
                      f"route add default via {at.HOST4}"):
            self.run(["ip", *words.split()])

    def _leader(self) -> int:
        """The container's first process, once it is systemd."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        # Between two looks any of them may end.
        with suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return 0

    def run(self, argv: list[str], *, check: bool = True, timeout: float = 120.0) -> Any:
        """Run a program in the node."""
        enter = ["nsenter", f"--target={self.leader}", "--all", "--", *argv]
        return process.run(enter, what=f"run {argv[0]} in the node", check=check, timeout=timeout)

    def agent(self, command: str, *options: str, timeout: float = 200.0) -> dict[str, Any]:
        """Run the agent's engine; what `join_agent` says, or {"status": -9} when it was killed."""
        done = self.run(["/usr/bin/python3", "/usr/lib/mailimg/join_agent.py", command, *options], check=False,
                        timeout=timeout)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode != 0:
            return {"status": -9 if done.returncode in (-9, 137) else done.returncode, "message": done.stderr[-2000:]}
        told: dict[str, Any] = json.loads(lines[-1])
        told["waits"] = [one["message"] for one in map(json.loads, lines[:-1]) if one.get("event") == "wait"]
        told["steps"] = {one["name"]: one["state"] for one in map(json.loads, lines[:-1]) if one.get("event") == "step"}
        return told

    def forget(self) -> None:
        """A machine that was never joined: no keytab, no files, sssd stopped and empty."""
        self.run(["systemctl", "stop", "sssd.service"], check=False)
        for name in ("/etc/krb5.keytab", "/etc/krb5.conf", "/etc/sssd/sssd.conf", "/run/mailimg/loaded.json"):
            self.run(["rm", "-f", name])

    def skew(self, seconds: int) -> None:
        """Set the clock of all programs that start from now on; 0: the right time."""
        self.run(["rm", "-f", "/etc/ld.so.preload"])
        if seconds:
            self.write("/etc/faketimerc", f"{seconds:+d}s\n")
            self.write("/etc/ld.so.preload", FAKETIME + "\n")

    def stop(self) -> None:
        """Power off, at once."""
        if self.process is not None:
            process.kill_group(self.process, grace=0.1)
            self.process = None
