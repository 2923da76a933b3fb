"""The node itself: a QEMU guest of an image, or a container of a root tree; neither changes what it boots."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mailimg import process
from mailimg.errors import InputError, StepError
from mailimg.machines.network import INSIDE
from mailimg.machines.place import HERE, Place
from mailimg.peers import addresses as at
from mailimg.peers.daemon import Daemon

# Both names of the firmware's files that distributions use: code (read only) and an empty variable store.
OVMF = (
    (Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
    (Path("/usr/share/OVMF/OVMF_CODE.fd"), Path("/usr/share/OVMF/OVMF_VARS.fd")),
    (Path("/usr/share/edk2/ovmf/OVMF_CODE.fd"), Path("/usr/share/edk2/ovmf/OVMF_VARS.fd")),
)
# Emulated, the plainest CPU is the cheapest. Up to the agent's start (debian-12, QEMU 7.2) one `qemu64` takes 57 s of a
# core, one `max` 66 s, two `qemu64` 69 s, two `max` 88 s.
CPUS = {"kvm": ("-cpu", "host", "-smp", "2"), "tcg": ("-cpu", "qemu64", "-smp", "1")}
GROWTH = 1 << 30  # bytes by which the guest's disk is larger than the image, as a flavor's disk usually is


def acceleration(wanted: str, cpuinfo: str, kvm_usable: bool) -> str:
    """Which accelerator to use: `kvm` or `tcg`.

    KVM inside a virtual machine may exist and still start no kernel, which shows only as silence; there it is used
    only when it is asked for.

    Raises:
        InputError: `kvm` is wanted and not there, or the word is unknown.
    """
    if wanted not in ("auto", "kvm", "tcg"):
        raise InputError([f"acceleration {wanted!r} is none of auto, kvm, tcg"])
    if wanted == "kvm" and not kvm_usable:
        raise InputError(["acceleration kvm: /dev/kvm cannot be opened"])
    nested = any("hypervisor" in line.split() for line in cpuinfo.splitlines() if line.startswith("flags"))
    if wanted == "kvm" or (wanted == "auto" and kvm_usable and not nested):
        return "kvm"
    return "tcg"


class Guest(Daemon):
    """An image under QEMU, on a throw-away overlay; with `volume_mib` it has a blank second disk of that size.

    A second guest of the same network needs a place of its own. What it writes goes to `disks`, or else to `folder`.
    """

    def __init__(self, folder: Path, image: Path, seed: Path, *, firmware: str, accel: str, memory_mib: int,
                 volume_mib: int = 0, place: Place = HERE, disks: Path | None = None) -> None:
        super().__init__("qemu", folder)
        folder.mkdir()
        self.console = folder / "console"
        self.accel = acceleration(accel, Path("/proc/cpuinfo").read_text(), os.access("/dev/kvm", os.R_OK | os.W_OK))
        self.description = f"qemu/{self.accel}/{firmware}"
        told = process.run(["qemu-img", "info", "--output=json", image], what=f"read {image}", timeout=60)
        info = json.loads(told.stdout)
        overlay = (disks or folder) / "overlay.qcow2"
        process.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", info["format"], "-b", image.absolute(), overlay,
                     str(info["virtual-size"] + GROWTH)], what="make the overlay", timeout=60)
        self.argv = [
            "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-machine", f"q35,accel={self.accel}",
            *CPUS[self.accel], "-m", str(memory_mib),
            "-display", "none", "-serial", f"file:{self.console}",
            # Named, numbered and in this order: firmware would take another disk for the system's.
            "-drive", f"if=none,id=root,format=qcow2,cache=unsafe,file={_escape(overlay)}",
            "-device", "virtio-blk-pci,drive=root,bootindex=1",
            "-drive", f"if=none,id=seed,format=raw,readonly=on,file={_escape(seed)}",
            "-device", "virtio-blk-pci,drive=seed",
            "-netdev", f"tap,id=net0,ifname={place.port},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net0,mac={place.mac},romfile=",
            "-device", "virtio-rng-pci",
            # cloud-init knows an OpenStack instance by these.
            "-smbios", f"type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,uuid={place.uuid}",
        ]
        self.volume: Path | None = None
        if volume_mib:
            # Blank, as Cinder hands it over, and without content of its own on the host.
            self.volume = (disks or folder) / "volume.raw"
            with self.volume.open("wb") as file:
                file.truncate(volume_mib << 20)
            drive = f"if=none,id=volume,format=raw,cache=unsafe,discard=unmap,file={_escape(self.volume)}"
            self.argv += ["-drive", drive, "-device", f"virtio-blk-pci,drive=volume,serial={at.VOLUME_SERIAL}"]
        if firmware == "uefi":
            code, variables = _ovmf()
            own = folder / "variables.fd"
            own.write_bytes(variables.read_bytes())
            self.argv += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_escape(code)}",
                          "-drive", f"if=pflash,format=raw,unit=1,file={_escape(own)}"]

    def start(self) -> None:
        """Power on."""
        self.launch(self.argv)


class Container(Daemon):
    """A root tree under systemd-nspawn; what it writes goes to memory and vanishes.

    Args:
        binds: folders of the host that the node sees as mounted, by the path where it does: they stand for storage
            that a cloud would give it.
        keeps: what it writes stays where the tree is, which then must be its own.
        wrapper: begins the command line.
    """

    description = "nspawn"
    volume = None  # a container has no disks

    def __init__(self, folder: Path, tree: Path, seed: Path, binds: Mapping[str, Path] | None = None,
                 place: Place = HERE, *, keeps: bool = False, wrapper: Sequence[str] = ()) -> None:
        super().__init__("nspawn", folder)
        folder.mkdir()
        self.console = folder / "console"
        self.argv = [
            *wrapper, "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={tree.absolute()}",
            *([] if keeps else ["--volatile=overlay"]), f"--machine={place.name}", f"--uuid={place.uuid}",
            f"--bind-ro={_colons(seed)}:/var/lib/cloud/seed/config_drive",
            *[f"--bind={_colons(outside)}:{inside}" for inside, outside in (binds or {}).items()],
            f"--network-interface={INSIDE}", "--boot", "--console=read-only",
        ]

    def start(self) -> None:
        """Power on."""
        # nspawn asks udev for the interface when /sys is writable; this /sys shows the interfaces of another
        # namespace. A fresh one would hide the cgroups. Only this mount namespace sees the change.
        process.run(["mount", "-o", "remount,bind,ro", "/sys"], what="prepare the container", timeout=20)
        with self.console.open("ab") as console, self.log.open("ab") as log:
            self.process = process.start(self.argv, what="start the container", stdout=console, stderr=log)


def exited(node: Guest | Container) -> str:
    """How the node's program ended, or an empty string while it runs."""
    running: process.Process | None = node.process
    if running is None or running.poll() is None:
        return ""
    return process.exit_words(running.returncode)


def _ovmf() -> tuple[Path, Path]:
    for pair in OVMF:
        if all(path.is_file() for path in pair):
            return pair
    raise StepError("boot by UEFI: the firmware OVMF is not installed", "Install the package ovmf.")


def _escape(path: Path) -> str:
    """A path as a value in QEMU's option syntax."""
    return str(path.absolute()).replace(",", ",,")


def _colons(path: Path) -> str:
    """A path in nspawn's bind syntax."""
    return str(path.absolute()).replace("\\", "\\\\").replace(":", "\\:")
