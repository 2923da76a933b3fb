"""role.json: what the builder tells the agent about its image (docs/contract.md)."""

import json
from typing import Any, Dict, List, NamedTuple, Optional

from mailimg_firstboot import schema
from mailimg_firstboot.errors import DocumentError

REBUILD = "role.json comes from the builder: build the image anew, or give --role-file a file that `mailimg` wrote."

# What each kind of health check is told beside its name.
NEEDED = {
    "smtp": ("port",),
    "tcp": ("port",),
    "unix": ("path",),
    "mount": ("path", "site"),
    "http": ("port", "path"),
    "https": ("port", "path"),
}


class Service(NamedTuple):
    """A daemon of the role; services stand in start order.

    Args:
        key: only a site document with this key has use for it; None: every one.
        unless: a site document with this key has no use for it; None: no such key.
    """

    name: str
    unit: str
    key: Optional[str] = None
    unless: Optional[str] = None

    def wanted(self, site: Dict[str, Any]) -> bool:
        """Whether it is to run at a site."""
        return (self.key is None or self.key in site) and (self.unless is None or self.unless not in site)


class TemplateFile(NamedTuple):
    """A file to render; `mode` is a number.

    `each` (`dkim.domain`) makes one file for each entry of a list of the site document: the entry is `each` in the
    template, and its named value, in lower case, takes the place of `@` in the path.
    """

    template: str
    path: str
    owner: str
    group: str
    mode: int
    service: Optional[str]
    secret: bool
    each: Optional[str] = None


class HealthCheck(NamedTuple):
    """One proof that the node serves.

    `smtp` and `tcp` have a port on 127.0.0.1, `unix` the path of a socket, `mount` the path of a mount point and the
    site key that says what is mounted there, `http` and `https` a port and the path of a URL. With a `service`, it is
    asked for only where that one is to run.
    """

    check: str
    name: str
    port: int
    path: str
    site: str = ""
    service: Optional[str] = None


class Database(NamedTuple):
    """A database that a local server (a service of the role) keeps for an account of the operating system."""

    name: str
    service: str
    account: str


class Volume(NamedTuple):
    """Where the site's data volume is mounted, and whose its root directory is; `mode` is a number."""

    mount: str
    owner: int
    group: int
    mode: int


class MountPoint(NamedTuple):
    """Where shared storage is mounted.

    Args:
        path: the mount point.
        site: the site key that says what is mounted there: `server`, `export`, `version`.
        owner: number of the account that its root belongs to.
        group: number of its group.
        folders: how many folders mailboxes are hashed into, a power of 16; 0: none.
        indexes: the folder of the local disk with what is made from them, excerpts included; None: there is none.
    """

    path: str
    site: str
    owner: int
    group: int
    folders: int
    indexes: Optional[str] = None


class PassOn(NamedTuple):
    """Where what comes to a port goes, if it is for a user of another server: to a port of that one's."""

    port: int
    to: int
    tls: bool


class Assignment(NamedTuple):
    """One server at a time works on a user's mail; `file` says, for Dovecot, who that is."""

    file: str
    pass_on: List[PassOn]


class RoleFile(NamedTuple):
    """role.json, checked.

    Args:
        site: dotted keys of the site document without which the role cannot serve.
        uses: those that it makes use of where they are there, and that the agent has to bring.
    """

    role: str
    distro: str
    identity: str
    version: str
    site: List[str]
    uses: List[str]
    parameters: Dict[str, Dict[str, Any]]
    facts: Dict[str, Dict[str, Any]]
    services: List[Service]
    files: List[TemplateFile]
    ports: List[Dict[str, Any]]
    health: List[HealthCheck]
    databases: List[Database]
    volume: Optional[Volume]
    mount: Optional[MountPoint]
    assignment: Optional[Assignment]


def load(content: bytes, name: str = "role.json") -> RoleFile:
    """Read and check role.json.

    Args:
        content: its bytes.
        name: how messages call it.

    Raises:
        DocumentError: with every problem found.
    """
    try:
        document = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise DocumentError(["{}: not JSON: {}".format(name, error)], REBUILD) from None
    root = schema.load("role.schema.json")
    found = schema.problems(document, root, name) or _meaning(document, name)
    if found:
        raise DocumentError(found, REBUILD)
    return _made(document, root)


def trusted(content: bytes) -> RoleFile:
    """Read role.json as the builder wrote it, unchecked: every run of the agent checks it, and that takes its time.

    Raises:
        DocumentError: it is no role.json at all.
    """
    try:
        return _made(json.loads(content.decode("utf-8")), schema.load("role.schema.json"))
    except (ValueError, KeyError, TypeError):
        raise DocumentError(["role.json: not as the builder writes it"], REBUILD) from None


def _made(document: Dict[str, Any], root: schema.Schema) -> RoleFile:
    full = schema.with_defaults(document, root, root)
    return RoleFile(
        role=full["role"], distro=full["distro"], identity=full["identity"], version=full["version"],
        site=full["site"], uses=full["uses"], parameters=full["parameters"], facts=full["facts"],
        services=[Service(one["name"], one["unit"], one.get("with"), one.get("without")) for one in full["services"]],
        files=[TemplateFile(one["template"], one["path"], one["owner"], one["group"], int(one["mode"], 8),
                            one["service"], one["secret"], one["each"]) for one in full["files"]],
        ports=full["ports"],
        health=[HealthCheck(one["check"], one["name"], one.get("port", 0), one.get("path", ""), one.get("site", ""),
                            one.get("service"))
                for one in full["health"]],
        databases=[Database(one["name"], one["service"], one["account"]) for one in full["databases"]],
        volume=_volume(full.get("volume")),
        mount=MountPoint(**full["mount"]) if "mount" in full else None,
        assignment=_assignment(full.get("assignment")),
    )


def _meaning(document: Dict[str, Any], name: str) -> List[str]:
    """What a schema cannot say: names that must exist elsewhere in the document."""
    found = []
    services = [one["name"] for one in document["services"]]
    for twice in sorted({one for one in services if services.count(one) > 1}):
        found.append("{}: services: {} stands there twice".format(name, twice))
    for index, one in enumerate(document["files"]):
        at = "{}: files[{}]".format(name, index)
        service = one.get("service")
        if service is not None and service not in services:
            found.append("{}.service: {} is no service of the role; {}".format(
                at, service, schema.nearest(service, services)))
        if one.get("secret") and int(one["mode"], 8) & 0o007:
            found.append("{}.mode: a secret file must be closed to others; {} is not".format(at, one["mode"]))
        if (one.get("each") is not None) != ("@" in one["path"].rpartition("/")[2]):
            found.append("{}.path: `@` stands in the file's name if, and only if, there is `each`".format(at))
        if [other["path"] for other in document["files"]].index(one["path"]) != index:
            found.append("{}.path: {} is written twice".format(at, one["path"]))
    for index, one in enumerate(document["health"]):
        needed = NEEDED[one["check"]]
        if {"port", "path", "site"} & set(one) != set(needed):
            found.append("{}: health[{}]: {} needs {} and nothing else".format(
                name, index, one["check"], " and ".join("`{}`".format(key) for key in needed)))
    mount = document.get("mount")
    if mount is not None and mount["site"] not in document["site"]:
        found.append("{}: mount.site: {} must be among the keys of `site`".format(name, mount["site"]))
    if "assignment" in document and mount is None:
        found.append("{}: assignment: needs `mount`, where servers know of each other".format(name))
    for kind in ("health", "databases"):
        for index, one in enumerate(document.get(kind, [])):
            if "service" in one and one["service"] not in services:
                found.append("{}: {}[{}].service: {} is no service of the role; {}".format(
                    name, kind, index, one["service"], schema.nearest(one["service"], services)))
    return found


def _volume(one: Optional[Dict[str, Any]]) -> Optional[Volume]:
    return None if one is None else Volume(one["mount"], one["owner"], one["group"], int(one["mode"], 8))


def _assignment(one: Optional[Dict[str, Any]]) -> Optional[Assignment]:
    return None if one is None else Assignment(one["file"], [PassOn(**each) for each in one["pass_on"]])
