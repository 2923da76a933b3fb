"""What systemd 219 of CentOS 7 knows in a unit file, and what of a text it would not understand.

It logs a warning for what it does not know and goes on without: a daemon then runs with more rights than it was to
have, or does not start. tests/data/el7-systemd-directives.txt has the names, from src/core/load-fragment-gperf.gperf.m4
of Red Hat's own branch (redhat-plumbers/systemd-rhel7 at d2d5f303, 219-78); EXEC stands for what services, sockets,
mounts and swaps have in common. The values below are from memory of that version's documentation.
"""

from __future__ import annotations

import re
from pathlib import Path

DIRECTIVES = frozenset((Path(__file__).parents[1] / "data" / "el7-systemd-directives.txt").read_text().split())
SECTIONS = {
    "Unit": ("Unit",),
    "Install": ("Install",),
    "Service": ("Service", "EXEC"),
    "Socket": ("Socket", "EXEC"),
    "Mount": ("Mount", "EXEC"),
    "Swap": ("Swap", "EXEC"),
    "Slice": ("EXEC",),
    "Timer": ("Timer",),
    "Path": ("Path",),
    "Automount": ("Automount",),
}
TRUTH = {"yes", "no", "true", "false", "on", "off", "1", "0"}
LOGS = {"journal", "syslog", "kmsg"}
OUTPUT = {"inherit", "null", "tty", "socket"} | LOGS | {f"{log}+console" for log in LOGS}
VALUES = {
    "Type": {"simple", "forking", "oneshot", "dbus", "notify", "idle"},
    "Restart": {"no", "always", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort"},
    "KillMode": {"control-group", "process", "mixed", "none"},
    "ProtectSystem": TRUTH | {"full"},
    "ProtectHome": TRUTH | {"read-only"},
    "Delegate": TRUTH,
    "StandardInput": {"null", "tty", "tty-force", "tty-fail", "socket"},
    "StandardOutput": OUTPUT,
    "StandardError": OUTPUT,
}
# Paths that 219 takes only as absolute ones: an empty value is an error there and leaves the old one in place.
PATHS = {"PIDFile", "RootDirectory", "WorkingDirectory"}
NEWER_CAPABILITIES = {"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"}
DROP_IN = re.compile(r"/([^/]+)\.(\w+)\.d/[^/]+\.conf$")


def problems(path: str, text: str) -> list[str]:
    """Everything in a unit or drop-in that systemd 219 would not understand, a line each."""
    found = []
    drop_in = DROP_IN.search(path)
    if "systemd/system/service.d/" in path or (drop_in and drop_in[1].endswith("-")):
        found.append(f"{path}: drop-ins for many units at once")
    section = ""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            section = line.strip("[]")
            if section not in SECTIONS:
                found.append(f"[{section}]")
            continue
        name, equals, value = line.partition("=")
        if not equals:
            found.append(f"no assignment: {line}")
        elif not any(f"{kind}.{name}" in DIRECTIVES for kind in SECTIONS.get(section, ())):
            found.append(f"[{section}] {name}")
        # A mount's Type is a file system.
        elif (section, name) != ("Mount", "Type") and (trouble := unknown_value(name, value)):
            found.append(f"[{section}] {name}={value}: {trouble}")
    return found


def unknown_value(name: str, value: str) -> str:
    """Why 219 does not understand a value of a directive that it has; empty if it does."""
    if name in VALUES:
        return "" if value in VALUES[name] else "value is newer, or wrong"
    if name in PATHS:
        return "" if value.startswith("/") else "is no absolute path; an empty one takes nothing back"
    if name.startswith("Exec"):
        return "" if not value or re.match(r"[-@]{0,2}/", value) else "prefix is newer, or the path is not absolute"
    if name.startswith("Timeout"):
        return "infinity is 0 there" if value == "infinity" else ""
    if name == "RuntimeDirectory":
        return "folders in folders are newer" if "/" in value else ""
    if name == "OnCalendar":
        return "time zones, ~ and .. are newer" if re.search(r"~|\.\.|[A-Z][a-z]+/[A-Z]", value) else ""
    if name == "SystemCallFilter":
        return "groups are newer" if "@" in value else ""
    if name == "RestrictAddressFamilies":
        return "none is newer" if value == "none" else ""
    if name in ("CapabilityBoundingSet", "AmbientCapabilities"):
        return "capability is newer than the kernel" if NEWER_CAPABILITIES & set(value.lstrip("~").split()) else ""
    return ""
