"""The stand-in's packages: from packages.yaml to what rpmbuild takes.

`packages.yaml` says in its head what its keys mean. Nothing here starts a program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE / "packages.yaml"
PAYLOAD = HERE / "payload"
REPOSITORIES = ("base", "updates", "extras", "epel", "sogo")
# Which key signs which repository, as it is with the real ones.
SIGNER = {"base": "centos", "updates": "centos", "extras": "centos", "epel": "epel", "sogo": "sogo"}
KEYS = {
    "evr", "repo", "requires", "provides", "obsoletes", "groups", "users", "dirs", "files", "programs", "units",
    "modules", "puts", "pre", "post", "posttrans", "preun", "also",
}
# Where the base tree keeps Python modules until a package puts them in place (see base.py), and where they belong.
MODULES = "/usr/lib/mailimg-stand-in/modules"
SITE = "/usr/lib/python3/dist-packages"
PROGRAM = '#!/bin/sh\necho "$0: a stand-in, no program" >&2\nexit 70\n'


@dataclass(frozen=True)
class Entry:
    """One file, directory or link of a package.

    Attributes:
        content: bytes; a link's target; None for a directory.
        kind: `file`, `dir` or `link`.
        mode: octal digits.
    """

    path: str
    kind: str
    content: bytes | None
    mode: str
    owner: str = "root"
    group: str = "root"
    config: bool = False


@dataclass(frozen=True)
class Package:
    """One binary package at one version, in one repository."""

    name: str
    repo: str
    evr: str
    facts: Mapping[str, Any]

    @property
    def epoch(self) -> str:
        """Epoch, or nothing."""
        return self.evr.partition(":")[0] if ":" in self.evr else ""

    @property
    def version_release(self) -> str:
        """Version and release, without epoch."""
        return self.evr.rpartition(":")[2]

    @property
    def file_name(self) -> str:
        """As rpmbuild names it."""
        return f"{self.name}-{self.version_release}.x86_64.rpm"

    def fill(self, text: str) -> str:
        """Put version and name where a text asks for them."""
        return text.replace("@VR@", self.version_release).replace("@NAME@", self.name)


def read(path: Path = CATALOGUE) -> tuple[list[Package], list[str]]:
    """All packages, and the names of those that the base image has installed.

    Raises:
        ValueError: an unknown key or repository, a required name that nobody provides.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    packages = []
    for name, facts in document["packages"].items():
        if unknown := set(facts) - KEYS:
            raise ValueError(f"{name}: unknown {', '.join(sorted(unknown))}")
        for other in ({}, *facts.get("also", [])):
            merged = {**facts, **other}
            package = Package(name, merged.get("repo", "base"), merged["evr"], merged)
            if package.repo not in REPOSITORIES:
                raise ValueError(f"{name}: unknown repository {package.repo}")
            packages.append(package)
    known = {name.split()[0] for package in packages for name in (package.name, *package.facts.get("provides", []))}
    wanted = {name.split()[0] for package in packages for name in package.facts.get("requires", [])}
    if missing := (wanted | set(document["image"])) - known:
        raise ValueError(f"nothing provides {', '.join(sorted(missing))}")
    return packages, document["image"]


def entries(package: Package, keys: Mapping[str, bytes]) -> Iterator[Entry]:
    """What a package brings; `keys` are the public keys by name, armoured."""
    facts = package.facts
    for path, told in facts.get("dirs", {}).items():
        yield Entry(path, "dir", None, told.get("mode", "0755"), told.get("owner", "root"), told.get("group", "root"))
    for path, told in facts.get("files", {}).items():
        yield file_entry(package, path, told if isinstance(told, dict) else {"text": told}, keys)
    for path in facts.get("programs", []):
        yield Entry(path, "file", PROGRAM.encode(), "0755")
    started = set(facts.get("programs", []))
    for name, told in facts.get("units", {}).items():
        text = told if "\n" in told else unit(name, told)
        yield Entry(f"/usr/lib/systemd/system/{name}", "file", text.encode(), "0644")
        program = told.split()[0]
        if "\n" not in told and program.startswith(("/usr/sbin/", "/usr/libexec/")) and program not in started:
            started.add(program)
            yield Entry(program, "file", PROGRAM.encode(), "0755")
    modules = f"/usr/lib/modules/{package.version_release}.x86_64"
    paths = [f"{modules}/kernel/{name}.ko.xz" for name in facts.get("modules", [])]
    # The folders are the package's own too: they go with it.
    for folder in sorted({str(parent) for path in paths for parent in Path(path).parents}):
        if folder.startswith(modules):
            yield Entry(folder, "dir", None, "0755")
    for path in paths:
        yield Entry(path, "file", b"stand-in\n", "0644")
    for name in facts.get("puts", []):
        yield Entry(f"{SITE}/{name}", "link", f"{MODULES}/{name}".encode(), "0777")


def file_entry(package: Package, path: str, told: Mapping[str, Any], keys: Mapping[str, bytes]) -> Entry:
    """A file as packages.yaml describes it."""
    # The base tree has merged /lib into /usr/lib, as CentOS 7 has: rpm must not meet a directory there.
    path = package.fill(f"/usr{path}" if path.startswith("/lib/") else path)
    if "link" in told:
        return Entry(path, "link", package.fill(told["link"]).encode(), "0777")
    if "key" in told:
        content = keys[told["key"]]
    elif "from" in told:
        content = (PAYLOAD / told["from"]).read_bytes()
    else:
        content = package.fill(told["text"]).encode()
    return Entry(path, "file", content, told.get("mode", "0644"), told.get("owner", "root"),
                 told.get("group", "root"), bool(told.get("config")))


def unit(name: str, command: str) -> str:
    """A unit that systemd can enable; what it starts is a stand-in."""
    return (f"[Unit]\nDescription=stand-in: {name}\nAfter=network.target\n\n"
            f"[Service]\nExecStart={command}\n\n[Install]\nWantedBy=multi-user.target\n")


def accounts(package: Package) -> list[str]:
    """Shell that makes a package's groups and users, as %pre of real packages does."""
    lines = []
    for group in package.facts.get("groups", []):
        number = f" -g {group['gid']}" if "gid" in group else ""
        lines.append(f"getent group {group['name']} >/dev/null || groupadd -r{number} {group['name']}")
    for user in package.facts.get("users", []):
        number = f" -u {user['uid']}" if "uid" in user else ""
        more = f" -G {','.join(user['groups'])}" if "groups" in user else ""
        lines.append(
            f"getent passwd {user['name']} >/dev/null || useradd -r{number} -g {user.get('group', user['name'])}{more}"
            f" -d {user['home']} -s /sbin/nologin -M -c stand-in {user['name']}")
    return lines


def spec(package: Package, keys: Mapping[str, bytes], tree: Path) -> str:
    """The spec file of a package whose files lie in `tree` (see archive.lay_out)."""
    version, _, release = package.version_release.rpartition("-")
    facts = package.facts
    lines = [
        f"Name: {package.name}", f"Version: {version}", f"Release: {release}",
        f"Summary: stand-in for {package.name}", "License: none", "AutoReqProv: no",
    ]
    if package.epoch:
        lines.append(f"Epoch: {package.epoch}")
    for tag in ("requires", "provides", "obsoletes"):
        lines += [f"{tag.capitalize()}: {package.fill(word)}" for word in facts.get(tag, [])]
    made = accounts(package)
    if made:
        lines.append("Requires(pre): shadow-utils")
    units = list(facts.get("units", {}))
    if units and package.name != "systemd":
        lines.append("Requires(post): systemd")
    lines += ["%description", f"A stand-in for {package.name} of CentOS 7, for tests.", "%install",
              f"cp -a {tree}/. %{{buildroot}}/"]
    scripts = {
        "pre": [*made, facts.get("pre", "")],
        "post": [facts.get("post", ""), *(f"systemctl preset {name}" for name in units if "@." not in name)],
        "posttrans": [facts.get("posttrans", "")],
        # As systemd_preun: when the package goes, not when a newer one comes.
        "preun": [facts.get("preun", ""),
                  *(f'if [ "$1" = 0 ]; then systemctl disable {name}; fi' for name in units if "@." not in name)],
    }
    for name, words in scripts.items():
        text = "\n".join(word.rstrip("\n") for word in words if word)
        if text:
            lines += [f"%{name}", "set -e", package.fill(text).replace("%", "%%")]
    lines.append("%files")
    for entry in entries(package, keys):
        marks = [f"%attr({'-' if entry.kind == 'link' else entry.mode}, {entry.owner}, {entry.group})"]
        marks += ["%config(noreplace)"] if entry.config else []
        marks += ["%dir"] if entry.kind == "dir" else []
        lines.append(" ".join([*marks, f'"{entry.path}"']))
    return "\n".join(lines) + "\n"
