"""What the image holds, and what it must not hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mailimg import process

pytestmark = pytest.mark.boot

# The frame and at least a line of what it frames: the agent's own code knows the frame's words.
KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----[\r\n]+(?:[A-Za-z-]+: .*[\r\n]+)*[A-Za-z0-9+/=]{40}")


def test_nothing_of_the_build_is_left(tree: Path) -> None:
    assert (tree / "etc/machine-id").read_bytes() == b"", "systemd would take it for a first boot, or for its own"
    assert not list(tree.glob("etc/ssh/ssh_host_*"))
    assert not [path for path in (tree / "var/log").rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in (tree / "var/lib/apt/lists").rglob("*") if path.is_file()]
    assert not [path for path in (tree / "var/cache/apt").rglob("*") if path.is_file()]
    assert not list((tree / "tmp").iterdir())
    assert not (tree / "etc/dib-manifests").exists()
    assert not (tree / "var/lib/systemd/random-seed").exists()
    assert not (tree / "root/.bash_history").exists()
    assert not (tree / "etc/apt/apt.conf.d/01mailimg-build").exists()
    assert (tree / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_no_secret_is_baked_in(tree: Path) -> None:
    """Any private key would be the same in every instance."""
    keys = []
    for top in ("etc", "root", "home", "var", "usr/lib/mailimg", "usr/share/mailimg"):
        for path in (tree / top).rglob("*"):
            if path.is_file() and not path.is_symlink() and KEY.search(path.read_bytes()):
                keys.append(str(path.relative_to(tree)))
    assert keys == []
    shadow = [line.split(":") for line in (tree / "etc/shadow").read_text().splitlines()]
    assert not [name for name, word, *_ in shadow if not word.startswith(("!", "*"))], "an account with a password"


def test_no_name_of_the_build_host(tree: Path) -> None:
    assert (tree / "etc/hostname").read_text() == "localhost\n"


def test_the_journal_drops_no_lines(tree: Path) -> None:
    # What a later file says wins; of those that say it, ours must be the last.
    settings = sorted((tree / "etc/systemd/journald.conf.d").glob("*.conf"), key=lambda path: path.name)
    said = [line for path in settings for line in path.read_text().splitlines() if line.startswith("RateLimit")]
    assert said[-1:] == ["RateLimitInterval=0"]


def test_no_documentation(tree: Path) -> None:
    left = [path.name for path in (tree / "usr/share/doc").rglob("*") if path.is_file() and path.name != "copyright"]
    assert left == []
    for name in ("man", "info", "locale"):
        folder = tree / "usr/share" / name
        assert not [path for path in folder.rglob("*") if path.is_file()], name


def test_one_kernel_and_one_initramfs_of_the_cloud_flavour(tree: Path) -> None:
    kernels = [path.name for path in (tree / "boot").glob("vmlinuz-*")]
    assert len(kernels) == 1
    assert kernels[0].endswith("-cloud-amd64")
    assert [path.name for path in (tree / "boot").glob("initrd.img-*")] == [kernels[0].replace("vmlinuz", "initrd.img")]
    logs = [line for line in kernel_log(tree) if "update-initramfs: Generating" in line]
    assert len(logs) == 1, "the initramfs is made once"


def kernel_log(tree: Path) -> list[str]:
    """The build log of the layer that brought the kernel."""
    store = tree.parents[2]
    layers = [json.loads(path.read_text()) for path in (store / "layers").glob("*/layer.json")]
    mine = json.loads((tree.parent / "layer.json").read_text())
    while mine["name"] != "base":
        mine = next(layer for layer in layers if layer["identity"] == mine["parent"])
    return (store / "logs" / f"base-{mine['identity'][:12]}.log").read_text().splitlines()


def test_the_agent_starts_the_daemons_and_nothing_else_does(tree: Path) -> None:
    role = json.loads((tree / "etc/mailimg/role.json").read_text())
    enabled = {path.name for path in (tree / "etc/systemd/system").glob("*.wants/*")}
    assert "mailimg-firstboot.service" in enabled
    units = {service["unit"] for service in role["services"]} | {"postfix.service", "clamav-daemon.socket"}
    assert not units & enabled


def test_the_agent_is_compiled_by_the_image(tree: Path) -> None:
    sources = {path.stem for path in (tree / "usr/lib/mailimg/mailimg_firstboot").glob("*.py")}
    compiled = {path.name.split(".")[0] for path in (tree / "usr/lib/mailimg/mailimg_firstboot/__pycache__").iterdir()}
    assert sources == compiled


def test_privileged_programs_are_those_we_know(tree: Path) -> None:
    """A package that brings another SUID or SGID program must be looked at."""
    known = {
        "chage", "chfn", "chsh", "crontab", "dbus-daemon-launch-helper", "expiry", "gpasswd", "mount", "newgrp",
        "passwd", "postdrop", "postqueue", "ssh-agent", "ssh-keysign", "su", "sudo", "umount", "unix_chkpwd",
    }  # fmt: skip
    found = {
        path.name
        for path in tree.rglob("*")
        if not path.is_symlink() and path.is_file() and path.stat().st_mode & 0o6000
    }
    assert found <= known


def test_qemu_reads_the_image_and_older_ones_could(image: Path, document: Mapping[str, Any]) -> None:
    process.run(["qemu-img", "check", "-q", image], what="check the image")
    info = json.loads(process.run(["qemu-img", "info", "--output=json", image], what="read the image").stdout)
    assert info["format"] == "qcow2"
    assert info["virtual-size"] == document["image"]["virtual_bytes"]
    assert info["format-specific"]["data"]["compression-type"] == "zlib"
    assert info["format-specific"]["data"]["compat"] == "1.1"


def test_the_manifest_names_the_packages(document: Mapping[str, Any]) -> None:
    packages = {package["name"]: package for package in document["packages"]}
    for name in ("postfix", "amavisd-new", "clamav-daemon", "spamassassin", "cloud-init", "linux-image-cloud-amd64"):
        assert packages[name]["version"], name
    assert document["image"]["bytes"] > 0
    assert [layer["name"] for layer in document["layers"]] == ["distribution", "base", "mta", "smtp-in", "role"]
