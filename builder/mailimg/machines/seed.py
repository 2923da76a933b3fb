"""The config drive of a verification: what OpenStack would give the instance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mailimg import process
from mailimg.machines.place import HERE, Place
from mailimg.peers import addresses as at

LABEL = "config-2"


def site_document(role: str, bind_password: str, ca: str, tuning: Mapping[str, Any],
                  keys: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The site document (docs/site.md).

    Args:
        ca: PEM of the authority that directory and virtual addresses have their certificates from, or `system`.
        tuning: parameters of the role.
        keys: further site keys.
    """
    return {
        "mailimg": 1,
        "role": role,
        "domains": [at.DOMAIN],
        "cloud_domain": at.CLOUD_DOMAIN,
        "networks": [at.NETWORK4],
        "directory": {
            "urls": [f"ldap://{at.DIRECTORY_NAME}"],
            "base": at.BASE_DN,
            "bind_dn": at.READER_DN,
            "bind_password": f"literal:{bind_password}",
            "tls": "starttls",
            "ca": ca,
        },
        "vips": {
            "smtp_out": {"host": at.SMTP_OUT_NAME, "port": at.SMTP_OUT_PORT},
            "delivery": {"host": at.DELIVERY_NAME, "port": at.DELIVERY_PORT},
            # Nobody is there: whether the webmail is served does not depend on it.
            "imap": {"host": at.IMAP_NAME},
            "sieve": {"host": at.IMAP_NAME},
            "ca": ca,
        },
        # No time server and no mirror of virus signatures is within reach.
        "time": {"servers": []},
        "filter": {
            "dnsbl": [],
            "spf": {"reject_fail": True, "reject_softfail": False},
            "freshclam": {"enabled": False},
        },
        "tuning": {role: dict(tuning)} if tuning else {},
        **(keys or {}),
    }


def network_data(place: Place = HERE) -> dict[str, Any]:
    """network_data.json: one card with a fixed IPv4 and IPv6 address, default routes and DNS at the gateway."""
    dns = {"type": "dns", "address": place.gateway4}
    return {
        "links": [{"id": "card0", "type": "phy", "ethernet_mac_address": place.mac, "mtu": 1500,
                   "vif_id": "6f0f43a4-54f1-4d7d-9c60-5a0000000010"}],
        "networks": [
            {"id": "network0", "type": "ipv4", "link": "card0", "ip_address": place.address4,
             "netmask": "255.255.255.0",
             "routes": [{"network": at.ANY4, "netmask": at.ANY4, "gateway": place.gateway4}],
             "services": [dns], "network_id": "6f0f43a4-54f1-4d7d-9c60-5a0000000004"},
            {"id": "network1", "type": "ipv6", "link": "card0", "ip_address": place.address6,
             "netmask": "ffff:ffff:ffff:ffff::",
             "routes": [{"network": "::", "netmask": "::", "gateway": place.gateway6}],
             "services": [], "network_id": "6f0f43a4-54f1-4d7d-9c60-5a0000000006"},
        ],
        "services": [dns],
    }


def meta_data(public_key: str, place: Place = HERE) -> dict[str, Any]:
    """meta_data.json as Nova writes it."""
    return {
        "uuid": place.uuid,
        "name": place.name,
        "hostname": place.name,
        "public_keys": {place.keypair: public_key},
        "keys": [{"name": place.keypair, "type": "ssh", "data": public_key}],
        "meta": {},
        "availability_zone": "nova",
        "launch_index": 0,
        "project_id": "5f2d8a517f6b4c1c9a1e0c5a90000001",
    }


def write(folder: Path, site: Mapping[str, Any], public_key: str, place: Place = HERE) -> None:
    """Write the files of a config drive below `folder`; readable by root only, because of the secrets."""
    latest = folder / "openstack" / "latest"
    latest.mkdir(parents=True)
    folder.chmod(0o700)
    (latest / "meta_data.json").write_text(json.dumps(meta_data(public_key, place)))
    (latest / "network_data.json").write_text(json.dumps(network_data(place)))
    (latest / "vendor_data.json").write_text("{}")
    # The first key has to be `mailimg`: it marks a site document.
    (latest / "user_data").write_text(yaml.safe_dump(dict(site), sort_keys=False))


def write_iso(folder: Path, target: Path) -> None:
    """Make the config drive's ISO 9660 file, by the program and with the options that Nova uses."""
    options = ["-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-J", "-r", "-V", LABEL]
    process.run(["genisoimage", "-quiet", "-o", target, *options, folder], what="make the config drive", timeout=60)
