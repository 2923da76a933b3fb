"""Who this instance is: the template name `node`."""

import re
from typing import Any, Dict, NamedTuple

from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.rolefile import RoleFile

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
NAME = re.compile(r"(?!.{254})[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*\Z")
INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


class Node(NamedTuple):
    """One instance; `hostname` is one label, `instance` the server's UUID in the cloud."""

    hostname: str
    fqdn: str
    instance: str
    role: str
    distro: str


def make(hostname: str, instance: str, site: Dict[str, Any], role: RoleFile) -> Node:
    """The node of the host name in the metadata: its first label, in the site's `cloud_domain` if that is given.

    Raises:
        DocumentError: name or instance are not what they must be; they reach configuration files.
    """
    problems = []
    name = hostname.lower().rstrip(".")
    label = name.partition(".")[0]
    if not LABEL.match(label) or not NAME.match(name):
        problems.append("metadata: hostname: {!r} is not a host name".format(hostname[:64]))
    if label == "localhost":
        problems.append("metadata: hostname: localhost is the name of every machine; give the server a name of its own")
    if not INSTANCE.match(instance):
        problems.append("metadata: uuid: {!r} is not the id of an instance".format(instance[:64]))
    if problems:
        raise DocumentError(problems, "Rename the server (letters, digits, hyphens; 63 at most) and boot it again.")
    domain = site.get("cloud_domain", "").lower()
    return Node(label, "{}.{}".format(label, domain) if domain else name, instance, role.role, role.distro)
