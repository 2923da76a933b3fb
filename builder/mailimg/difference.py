"""What differs between two images: pure functions from manifests and file entries to a value."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mailimg.filetree import Entry

DPKG_INFO = "/var/lib/dpkg/info/"
# What systemd itself reads from, where `systemctl enable` and `mask` leave links.
UNITS = "/etc/systemd/system"
NATIVE = (UNITS, "/usr/lib/systemd/system", "/lib/systemd/system")
STARTED = re.compile(r"^/etc/(?:rc\.d/)?rc[2-5]\.d/S\d\d(.+)$")
CACHED_MODULE = re.compile(r"^(.*)/__pycache__/([^/]+?)\.cpython-\d+(\.opt-[12])?\.pyc$")


@dataclass(frozen=True)
class Changes:
    """Differences between two mappings of words."""

    added: Mapping[str, str]
    removed: Mapping[str, str]
    changed: Mapping[str, tuple[str, str]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class FileChanges:
    """Differences between two trees.

    Attributes:
        changed: for each path, what differs, in words.
        packages: to which package a path of these belongs; those of none are missing.
    """

    added: Mapping[str, Entry]
    removed: Mapping[str, Entry]
    changed: Mapping[str, tuple[str, ...]]
    packages: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class Snapshot:
    """The files of one image: entries, SHA-256 of those files whose content had to be read, owners by path."""

    entries: Mapping[str, Entry]
    digests: Mapping[str, str]
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """What differs between two images, A and B.

    Attributes:
        facts: role, distribution.
        measures: sizes and identities; shown, but no difference by themselves.
        units, privileged, files: None when the files were not compared.
    """

    facts: Changes
    measures: Changes
    packages: Changes
    listeners: Changes
    units: Changes | None
    privileged: Changes | None
    files: FileChanges | None

    def __bool__(self) -> bool:
        return any((self.facts, self.packages, self.listeners, self.units, self.privileged, self.files))


def compare(a: Mapping[str, Any], b: Mapping[str, Any], files: tuple[Snapshot, Snapshot] | None) -> Difference:
    """Compare two images.

    Args:
        a, b: manifests.
        files: of both images; None when they cannot be compared.
    """
    units = privileges = trees = None
    if files is not None:
        first, second = files[0].entries, files[1].entries
        units = changes(enabled_units(first), enabled_units(second))
        privileges = changes(privileged(first), privileged(second))
        trees = file_changes(*files)
    return Difference(
        facts=changes(*({"role": one["role"], "distribution": one["distro"]} for one in (a, b))),
        measures=changes(measures(a), measures(b)),
        packages=changes(packages(a), packages(b)),
        listeners=changes(listeners(a), listeners(b)),
        units=units,
        privileged=privileges,
        files=trees,
    )


def changes(a: Mapping[str, str], b: Mapping[str, str]) -> Changes:
    """What differs between two mappings, by name."""
    return Changes(
        added={name: b[name] for name in sorted(b) if name not in a},
        removed={name: a[name] for name in sorted(a) if name not in b},
        changed={name: (a[name], b[name]) for name in sorted(a) if name in b and a[name] != b[name]},
    )


def measures(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Numbers and digests of an image; sizes in bytes."""
    image = manifest["image"]
    return {
        "identity": manifest["identity"],
        "sha256": image["sha256"],
        "image bytes": str(image["bytes"]),
        "tree bytes": str(image["tree_bytes"]),
        "virtual bytes": str(image["virtual_bytes"]),
        "packages": str(len(manifest["packages"])),
    }


def packages(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Version of each package; a library that is there for two architectures counts as two."""
    return {package["name"]: package["version"] for package in manifest["packages"]}


def listeners(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Each TCP port that the image says it listens on, and for whom."""
    contract = manifest["contract"]
    peers = {port["port"]: f"for {port['peers']}" for port in contract["ports"]}
    return {str(port): peers.get(port, "inside") for port in contract["listeners"]}


def enabled_units(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Units that start by themselves or are masked, from the links that systemd and its System V generator read."""
    found: dict[str, str] = {}
    for path, entry in sorted(entries.items()):
        if entry.kind != "link":
            continue
        if (script := STARTED.match(path)) and not any(f"{folder}/{script[1]}.service" in entries for folder in NATIVE):
            found[f"{script[1]}.service"] = "started by its init script"
        if not path.startswith(f"{UNITS}/"):
            continue
        folder, _, name = path.removeprefix(f"{UNITS}/").rpartition("/")
        if entry.target == "/dev/null":
            found[name] = "masked"
        elif folder.endswith((".wants", ".requires")):
            who, _, how = folder.rpartition(".")
            before = f"{found[name]}, " if name in found else ""
            found[name] = f"{before}{'wanted' if how == 'wants' else 'required'} by {who}"
        elif not folder:
            found.setdefault(name, f"another name of {PurePosixPath(entry.target).name}")
    return found


def privileged(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Programs that give whoever runs them more rights: set-id bits and capabilities, in words."""
    found = {}
    for path, entry in entries.items():
        if entry.kind != "file":
            continue
        words = [f"setuid {entry.uid}"] if entry.mode & stat.S_ISUID else []
        # Without the group's x the bit asks for mandatory locking.
        words += [f"setgid {entry.gid}"] if entry.mode & stat.S_ISGID and entry.mode & stat.S_IXGRP else []
        words += [entry.capabilities] if entry.capabilities else []
        if words:
            found[path] = ", ".join(words)
    return found


def to_read(a: Mapping[str, Entry], b: Mapping[str, Entry]) -> list[str]:
    """Files of both whose content has to be read to be compared: those of the same size."""
    return sorted(path for path, entry in a.items()
                  if entry.kind == "file" and entry.size and (other := b.get(path)) is not None
                  and other.kind == "file" and other.size == entry.size)


def file_changes(a: Snapshot, b: Snapshot) -> FileChanges:
    """What differs between the files of two images."""
    changed = {}
    for path in sorted(a.entries.keys() & b.entries.keys()):
        words = entry_changes(a.entries[path], b.entries[path])
        if a.digests.get(path) != b.digests.get(path):
            words.append("content")
        if words:
            changed[path] = tuple(words)
    added = {path: b.entries[path] for path in sorted(b.entries.keys() - a.entries.keys())}
    removed = {path: a.entries[path] for path in sorted(a.entries.keys() - b.entries.keys())}
    owners = {path: owner for path in (*added, *removed, *changed)
              if (owner := b.packages.get(path) or a.packages.get(path)) is not None}
    return FileChanges(added, removed, changed, owners)


def entry_changes(a: Entry, b: Entry) -> list[str]:
    """What differs between two entries of one name, in words."""
    if a.kind != b.kind:
        return [f"{a.kind} -> {b.kind}"]
    words = []
    if a.mode != b.mode:
        words.append(f"mode {a.mode:04o} -> {b.mode:04o}")
    if (a.uid, a.gid) != (b.uid, b.gid):
        words.append(f"owner {a.uid}:{a.gid} -> {b.uid}:{b.gid}")
    if a.size != b.size:
        words.append(f"size {a.size} -> {b.size}")
    if a.target != b.target:
        words.append(f"target {a.target} -> {b.target}")
    if a.capabilities != b.capabilities:
        words.append(f"capabilities {a.capabilities or 'none'} -> {b.capabilities or 'none'}")
    return words


def owner_lists(entries: Mapping[str, Entry]) -> list[str]:
    """The files in which dpkg keeps what each package brought; none on distributions without dpkg."""
    return sorted(path for path in entries if path.startswith(DPKG_INFO) and path.endswith(".list"))


def owners(entries: Mapping[str, Entry], lists: Mapping[str, str]) -> dict[str, str]:
    """To which package each path belongs.

    Args:
        lists: text of each of `owner_lists`.
    """
    # dpkg may say /bin/sh where the tree has /usr/bin/sh.
    merged = {path: f"/{entry.target.lstrip('/')}" for path, entry in entries.items()
              if entry.kind == "link" and path.count("/") == 1}
    found: dict[str, str] = {}
    for path, text in lists.items():
        package = path.removeprefix(DPKG_INFO).removesuffix(".list")
        for line in text.splitlines():
            top, _, rest = line[1:].partition("/")
            found.setdefault(f"{merged[f'/{top}']}/{rest}" if rest and f"/{top}" in merged else line, package)
    for path in entries:
        if path.startswith(DPKG_INFO):
            found.setdefault(path, path.removeprefix(DPKG_INFO).rpartition(".")[0])
        elif (module := CACHED_MODULE.match(path)) and (source := f"{module[1]}/{module[2]}.py") in found:
            found[path] = found[source]
    return found
