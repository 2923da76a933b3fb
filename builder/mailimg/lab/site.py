"""The site documents of a lab's nodes: one site, a document for each role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailimg.lab import addresses as at
from mailimg.lab.plan import Plan
from mailimg.peers import addresses as names
from mailimg.peers import domain
from mailimg.peers.directory import SERVICE
from mailimg.peers.platform import MASTER, MASTER_HASH

# Who powers a lab's node off wants to see it gone; nobody uses a rehearsal's sessions.
LEAVE = {"deadline": 10, "flush": 10, "handover": 20}


def document(role: str, plan: Plan, passwords: Mapping[str, str], ca: str, dkim_key: str, url: str) -> dict[str, Any]:
    """The site document of a role (docs/site.md).

    Args:
        passwords: `people` and `joiner`.
        ca: certificate of the authority of directory, virtual addresses and file server, PEM.
        dkim_key: private key of the mail domain, PEM.
        url: of the layer's certificate and key; empty: the role has none.
    """
    site: dict[str, Any] = {
        "mailimg": 1,
        "role": role,
        "domains": [names.DOMAIN],
        "cloud_domain": names.CLOUD_DOMAIN,
        "networks": list(plan.networks),
        "directory": {
            "urls": [f"ldap://{names.DC_NAME}"],
            "base": names.AD_BASE_DN,
            "bind_dn": domain.dn_of(domain.READER),
            "bind_password": f"literal:{passwords['people']}",
            "tls": "starttls",
            "ca": ca,
        },
        "join": {"realm": names.AD_REALM, "ou": domain.OU_SERVERS, "user": domain.JOINER,
                 "password": f"literal:{passwords['joiner']}"},
        "vips": {
            "smtp_in": {"host": at.MX_NAME},
            "smtp_out": {"host": names.SMTP_OUT_NAME},
            "delivery": {"host": names.DELIVERY_NAME},
            "imap": {"host": names.IMAP_NAME},
            "sieve": {"host": names.IMAP_NAME},
            "webmail": {"host": names.WEBMAIL_NAME},
            "ca": ca,
        },
        "relay_account": {"login": SERVICE, "password": f"literal:{passwords['people']}"},
        "dkim": [{"domain": names.DOMAIN, "selector": at.DKIM_SELECTOR, "key": f"literal:{dkim_key}"}],
        "storage": {"server": f"nfs.{names.CLOUD_DOMAIN}", "export": "/NFSVOL"},
        "masters": [{"login": MASTER, "password": f"literal:{MASTER_HASH}"}],
        "webmail": {"title": names.WEBMAIL_TITLE, "time_zone": "Europe/Vienna"},
        # No time server and no mirror of virus signatures is within reach.
        "time": {"servers": []},
        "filter": {
            "dnsbl": [],
            "spf": {"reject_fail": True, "reject_softfail": False},
            "freshclam": {"enabled": False},
        },
        "leave": dict(LEAVE),
        "tuning": {name: dict(values) for name, values in plan.tuning.items()},
    }
    if role == "smtp-out" and len(plan.of(role)) > 1:
        site["leave"]["siblings"] = {"host": names.SMTP_OUT_NAME, "port": 587, "login": SERVICE,
                                     "password": f"literal:{passwords['people']}", "ca": ca}
    if role == "nfs":
        site["volume"] = {"serial": names.VOLUME_SERIAL}
    if url:
        site["tls"] = {"url": url, "ca": ca}
    return site
