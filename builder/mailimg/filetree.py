"""The files of an image as values that can be compared, and where they are read from: a tree of the layer store."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
CAPABILITY = "security.capability"
# By bit: include/uapi/linux/capability.h of Linux 6.1.
CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One name in a tree; times are left out: they change with every build and nobody runs them.

    Attributes:
        kind: one of KINDS.
        mode: permission bits, set-id bits among them.
        size: of a file, in bytes; 0 for all else.
        target: of a link.
        capabilities: in words, empty for none.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    target: str = ""
    capabilities: str = ""


class Files(Protocol):
    """All files of one image."""

    def entries(self) -> Mapping[str, Entry]:
        """Every name by its absolute path; the root is left out."""

    def read(self, paths: Iterable[str]) -> Iterator[tuple[str, Path]]:
        """For each path of a file, where its bytes can be read until the next one is asked for."""


class TreeFiles:
    """The files of a root tree."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree

    def entries(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(f"{self.tree}{folder}") as names:
                for name in names:
                    path = f"{folder}/{name.name}"
                    found[path] = tree_entry(name)
                    if found[path].kind == "folder":
                        folders.append(path)
        return found

    def read(self, paths: Iterable[str]) -> Iterator[tuple[str, Path]]:
        for path in paths:
            yield path, Path(f"{self.tree}{path}")


def tree_entry(name: os.DirEntry[str]) -> Entry:
    """What a directory entry is."""
    facts = name.stat(follow_symlinks=False)
    kind = KINDS[stat.S_IFMT(facts.st_mode)]
    capability = b""
    if kind == "file":
        # No such attribute, or a file system that has none.
        with suppress(OSError):
            capability = os.getxattr(name.path, CAPABILITY, follow_symlinks=False)
    return Entry(
        kind=kind,
        mode=stat.S_IMODE(facts.st_mode),
        uid=facts.st_uid,
        gid=facts.st_gid,
        size=facts.st_size if kind == "file" else 0,
        target=str(Path(name.path).readlink()) if kind == "link" else "",
        capabilities=capability_words(capability),
    )


def capability_words(value: bytes) -> str:
    """A file's capabilities in words like `cap_net_raw=ep`, from the kernel's struct vfs_cap_data, versions 2 and 3."""
    if not value:
        return ""
    word = [int.from_bytes(value[at : at + 4], "little") for at in range(0, len(value), 4)]
    if word[0] >> 24 not in (2, 3) or len(word) < 5:
        return f"unreadable {value.hex()}"
    bits = {"p": word[1] | word[3] << 32, "i": word[2] | word[4] << 32}
    effective = "e" if word[0] & 1 else ""
    words = []
    for number in range(64):
        flags = "".join(flag for flag in "ip" if bits[flag] >> number & 1)
        if flags:
            name = CAPABILITIES[number] if number < len(CAPABILITIES) else str(number)
            words.append(f"cap_{name}={effective}{flags}")
    return " ".join(words)
