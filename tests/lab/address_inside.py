"""Runs in namespaces of its own: which of its addresses an instance would register; prints JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "firstboot"))

from mailimg import process
from mailimg_firstboot.cloud import address
from mailimg_firstboot.errors import FirstbootError

LINKS = {"front": ("10.1.0.5/24", "2001:db8:1::5/64"), "back": ("10.2.0.5/24",)}


def ip(*words: str) -> None:
    process.run(["ip", *words], what="make a link", timeout=10)


def asked(auth_url: str, networks: list[str] | None, given: str | None = None) -> str:
    site: dict[str, Any] = {"cloud": {"auth_url": auth_url}, "balancer": {"address": given} if given else {}}
    if networks is not None:
        site["networks"] = networks
    try:
        return address.own(site)
    except FirstbootError as error:
        return f"{type(error).__name__}: {error.message}"


ip("link", "set", "lo", "up")
for name, addresses in LINKS.items():
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
    for one in addresses:
        ip("address", "add", one, "dev", name, *(["nodad"] if ":" in one else []))
    ip("link", "set", name, "up")
    ip("link", "set", f"{name}-far", "up")
ip("route", "add", "10.9.0.0/16", "via", "10.2.0.1")

print(json.dumps({  # noqa: T201
    "by the route to Keystone": asked("https://10.9.0.1:5000/v3", None),
    "which lies in a network": asked("https://10.9.0.1:5000", ["10.1.0.0/24", "10.2.0.0/24"]),
    "which lies in none": asked("https://10.9.0.1:5000", ["192.0.2.0/24", "10.1.0.0/24"]),
    "IPv6": asked("https://10.9.0.1:5000", ["2001:db8:1::/64"]),
    "no route to Keystone": asked("https://203.0.113.1", ["10.1.0.0/24"]),
    "one host": asked("https://10.9.0.1", ["10.1.0.5/32"]),
    "none": asked("https://10.9.0.1:5000", ["192.0.2.0/24"]),
    "given": asked("https://10.9.0.1:5000", ["10.1.0.0/24"], "10.3.0.7"),
    "no such name": asked("https://keystone.invalid", ["10.1.0.0/24"]),
}))
