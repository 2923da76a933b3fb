"""The key `tls` of a site document: which form it has, and the document with what was fetched in its place. Pure."""

import copy
from typing import Any, Dict, List, Optional

from mailimg_firstboot.rolefile import RoleFile
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls.bundle import Bundle


def wanted(site: Dict[str, Any], role: RoleFile) -> Optional[Dict[str, Any]]:
    """`tls` of a checked site document, or None for a role that has no use for it: its document serves others."""
    uses = "tls" in role.site + role.uses or any(service.key == "tls" for service in role.services)
    return site.get("tls") if uses else None


def source(tls: Dict[str, Any]) -> str:
    """Where the certificate comes from, for people."""
    if "url" in tls:
        return str(tls["url"])
    if "container" in tls:
        return "Barbican container " + str(tls["container"]).partition(":")[2].rpartition("/")[2]
    return "the site document"


def filled(site: Dict[str, Any], bundle: Bundle) -> Dict[str, Any]:
    """The document with a certificate and its key where templates look for them."""
    full = dict(site)
    full["tls"] = dict(site["tls"], certificate=bundle.certificate, key=bundle.key)
    return full


def unfetched(site: Dict[str, Any]) -> Dict[str, Any]:
    """The document as far as it goes without fetching anything: words take the place of a certificate."""
    tls = site.get("tls")
    if tls is None or "certificate" in tls:
        return site
    words = "# Fetched on the instance from {}.".format(source(tls))
    return filled(copy.deepcopy(site), Bundle(words, Secret(words)))


def problems(document: Dict[str, Any]) -> List[str]:
    """What the schema cannot say, as `path: words`."""
    tls = document.get("tls")
    if isinstance(tls, dict) and isinstance(tls.get("container"), str) and "cloud" not in document:
        return ["tls.container: a container in Barbican needs the key `cloud`"]
    return []
