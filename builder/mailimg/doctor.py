"""What this host must have, and the command that installs what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from mailimg import process
from mailimg.errors import StepError


@dataclass(frozen=True)
class Tool:
    """A program, the Debian package that brings it, and the command that needs it."""

    program: str
    package: str
    purpose: str


BUILD_TOOLS = (
    Tool("bash", "bash", "build"),
    Tool("sudo", "sudo", "build"),
    Tool("unshare", "util-linux", "build"),
    Tool("setpriv", "util-linux", "build"),
    Tool("sfdisk", "fdisk", "build"),
    Tool("mmdebstrap", "mmdebstrap", "build"),
    Tool("apt-get", "apt", "build"),
    Tool("dpkg-query", "dpkg", "build"),
    Tool("mke2fs", "e2fsprogs", "build"),
    Tool("debugfs", "e2fsprogs", "build"),
    Tool("grub-mkimage", "grub-common", "build"),
    Tool("qemu-img", "qemu-utils", "build"),
    Tool("mcopy", "mtools", "build"),
    Tool("mkfs.vfat", "dosfstools", "build"),
)


def all_tools() -> tuple[Tool, ...]:
    """Every program that some command runs."""
    return BUILD_TOOLS


def absent(purpose: str | None = None) -> list[Tool]:
    """Programs that are not there, for one command or for all."""
    return [
        tool for tool in all_tools() if purpose in (None, tool.purpose) and process.which(tool.program) is None
    ]


def install_command(tools: list[Tool]) -> str:
    """The command that installs what is missing."""
    return f"apt-get install {' '.join(sorted({tool.package for tool in tools}))}"


def missing_tools(purpose: str) -> None:
    """Stop before the work when a program is missing.

    Raises:
        StepError: names programs and the command that installs them.
    """
    tools = absent(purpose)
    if tools:
        names = ", ".join(tool.program for tool in tools)
        raise StepError(f"this host lacks {names}", f"Install with: {install_command(tools)}")
