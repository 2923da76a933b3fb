"""A machine in a folder: real files below a root, and stand-ins for what a folder cannot be (units, name, clock)."""

import copy
import grp
import json
import os
import pwd
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set

from firstboot_domain import FakeDomain
from firstboot_fuse import Fuse
from firstboot_pools import FakeCloud
from firstboot_postfix import FakePostfix
from firstboot_store import (
    MARIADB_UNIT,
    PLACE,
    SHARED,
    STORE,
    STORED_KEYS,
    FakeDisks,
    FakeMariaDB,
    FakeNFS,
    FakeSELinux,
)

from mailimg_firstboot import node as nodes
from mailimg_firstboot import preparing, rendering, rolefile, secret, site
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import FileState, Host
from mailimg_firstboot.rolefile import HealthCheck
from mailimg_firstboot.selinux import ENFORCE
from mailimg_firstboot.systemd import Systemd, UnitState
from mailimg_firstboot.waiting import Clock
from mailimg_firstboot.work import Work

INSTANCE = "5f0c5a0e-3f4e-4d0e-9a53-7a3f2a1b0c9d"
PASSWORD = "correct horse 7"

SITE: Dict[str, Any] = {
    "mailimg": 1,
    "role": "smtp-in",
    "domains": ["example.org"],
    "cloud_domain": "cloud.example.org",
    "networks": ["10.0.0.0/24"],
    "directory": {
        "urls": ["ldap://dc1.example.org"],
        "base": "dc=example,dc=org",
        "bind_dn": "cn=reader,dc=example,dc=org",
        "bind_password": "literal:" + PASSWORD,
        "ca": "system",
    },
    "vips": {"delivery": {"host": "delivery.cloud.example.org"}},
    "time": {"servers": ["ntp1.example.org"]},
}

ROLE: Dict[str, Any] = {
    "schema": 1,
    "role": "smtp-in",
    "distro": "debian-12",
    "identity": "0" * 64,
    "version": "0.1.0",
    "site": ["domains", "cloud_domain", "networks", "directory", "vips.delivery"],
    "parameters": {
        "amavis_workers": {"type": "integer", "minimum": 1, "maximum": 128, "default": 16},
    },
    "facts": {"chrony": {"unit": "chrony.service", "sources_dir": "/etc/chrony/sources.d"},
              "postfix": {"config": "/etc/postfix"}, "selinux": {"config": "/etc/selinux/config"}},
    "services": [{"name": "clamd", "unit": "clamav-daemon.service"}, {"name": "postfix", "unit": "postfix@-.service"}],
    "files": [
        {"template": "clamd.conf.j2", "path": "/etc/clamav/clamd.conf", "owner": "root", "group": "root",
         "mode": "0644", "service": "clamd"},
        {"template": "recipients.cf.j2", "path": "/etc/postfix/recipients.cf", "owner": "root", "group": "postfix",
         "mode": "0640", "service": "postfix", "secret": True},
        {"template": "main.cf.j2", "path": "/etc/postfix/main.cf", "owner": "root", "group": "root", "mode": "0644",
         "service": "postfix"},
    ],
    "ports": [{"name": "smtp", "port": 25, "peers": "internet"}],
    "health": [{"check": "unix", "path": "/run/clamav/clamd.ctl", "name": "clamd"},
               {"check": "smtp", "port": 25, "name": "smtp"}],
}

TEMPLATES = {
    "clamd.conf.j2": "MaxThreads {{ param.amavis_workers }}\n",
    "recipients.cf.j2": "bind_pw = {{ site.directory.bind_password }}\n",
    "main.cf.j2": "myhostname = {{ node.fqdn }}\nrelay_domains ={{ site.domains | lines }}\n",
}


class FakeSystemd(Systemd):
    """Units that run with the bytes their files had when they were started or reloaded."""

    def __init__(self, host: "FakeHost") -> None:
        super().__init__(host.run)
        self.host = host
        self.running: Dict[str, Dict[str, Optional[bytes]]] = {}
        self.unknown: Set[str] = set()
        self.refuse: Set[str] = set()
        self.sockets: Dict[str, str] = {}  # by the unit that needs it, and that it starts
        self.orders: List[str] = []
        self.table = threading.Lock()

    def state(self, unit: str) -> UnitState:
        if unit in self.unknown:
            return UnitState(False, False, "inactive (dead)")
        return UnitState(True, unit in self.running, "active (running)" if unit in self.running else "inactive (dead)")

    def triggers(self, unit: str) -> List[str]:
        return [name for name in [self.sockets.get(unit, "")] if name in self.running]

    def active_since(self, units: Sequence[str], patience: float = 30.0) -> Dict[str, Optional[float]]:
        return {unit: 990.0 if unit in self.running else None for unit in units}

    def _order(self, order: str, unit: str) -> None:
        self.host.fuse.before(f"{order} {unit}")
        self.orders.append(f"{order} {unit}")
        if order == "stop":
            self.running.pop(unit, None)
        elif unit.endswith(".mount") and self.host.nfs.refuses:
            raise StepError(f"start {unit}: systemctl ended with status 1")
        elif unit not in self.refuse:
            self.running[unit] = {one["path"]: self.host.read(one["path"]) for one in ROLE["files"]}
            self.running.update({one: {} for one in [self.sockets.get(unit, "")] if one})
        if unit.endswith(".mount"):
            # Steps that mount run at the same time; the kernel's table is always whole.
            with self.table:
                self.host.nfs.table(self.running)
        self.host.fuse.after(f"{order} {unit}")

    def reread(self) -> None:
        self.orders.append("reread")


class FakeHost(Host):
    """A folder as a machine; every change passes the fuse."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.fuse = Fuse()
        self.systemd: FakeSystemd = FakeSystemd(self)
        self.mariadb: FakeMariaDB = FakeMariaDB(self)
        self.disks: FakeDisks = FakeDisks(self)
        self.nfs: FakeNFS = FakeNFS(self)
        self.cloud: FakeCloud = FakeCloud(self)
        self.postfix: FakePostfix = FakePostfix(self)
        self.domain: FakeDomain = FakeDomain(self)
        self.selinux: FakeSELinux = FakeSELinux(self)
        self.given: Dict[str, FileState] = {}
        self.name = "localhost"
        self.synchronised = True
        self.answers: Dict[str, str] = {}
        self.said: List[str] = []

    def write(self, path: str, content: bytes, owner: str = "root", group: str = "root", mode: int = 0o644) -> None:
        self.fuse.before("write " + path)
        super().write(path, content, owner, group, mode)
        self.fuse.after("write " + path)

    def remove(self, path: str) -> None:
        self.fuse.before("remove " + path)
        there = self.read(path) is not None
        super().remove(path)
        if there:
            self.fuse.after("remove " + path)

    def give(self, path: str, uid: int, gid: int, mode: int) -> None:
        self.fuse.before("give " + path)
        self.given[path] = FileState(uid, gid, mode, False)
        self.fuse.after("give " + path)

    def state(self, path: str) -> Optional[FileState]:
        return self.given.get(path) or super().state(path)

    def hostname(self) -> str:
        return self.name

    def set_hostname(self, name: str) -> None:
        self.fuse.before("set_hostname")
        self.name = name
        self.fuse.after("set_hostname")

    def clock_synchronised(self) -> bool:
        return self.synchronised

    def uptime(self) -> float:
        return 12.5

    def console(self, line: str) -> None:
        self.said.append(line)

    def probe(self, check: HealthCheck, patience: float = 10.0) -> Optional[str]:
        return self.answers.get(check.name)


class FakeClock(Clock):
    """Time that passes only while somebody sleeps; `on_sleep` lets the world change meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0
        self.naps: List[float] = []
        self.on_sleep: List[Any] = []

    def now(self) -> float:
        return self.time

    def epoch(self) -> float:
        return 1772366400.0  # 2026-03-01 12:00 UTC

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.time += seconds
        if self.on_sleep:
            self.on_sleep.pop(0)()

    def spread(self, seconds: float) -> float:
        return seconds


def with_keys(document: Dict[str, Any], **paths: Any) -> Dict[str, Any]:
    """A copy of a document with values set; `a__b=1` sets a.b."""
    full = copy.deepcopy(document)
    for path, value in paths.items():
        *way, last = path.split("__")
        holder = full
        for part in way:
            holder = holder.setdefault(part, {})
        holder[last] = copy.deepcopy(value)
    return full


def role(**paths: Any) -> rolefile.RoleFile:
    """The role of these tests."""
    return rolefile.load(json.dumps(with_keys(ROLE, **paths)).encode())


def seed(host: FakeHost, document: Optional[Dict[str, Any]] = None, meta: Optional[Dict[str, str]] = None) -> None:
    """Put metadata where a container has it."""
    folder = host.path("/var/lib/cloud/seed/config_drive/openstack/latest")
    folder.mkdir(parents=True, exist_ok=True)
    hostname = {"uuid": INSTANCE, "hostname": "mx-1.novalocal", "name": "mx-1", "meta": meta or {}}
    (folder / "meta_data.json").write_text(json.dumps(hostname))
    (folder / "user_data").write_text(json.dumps(SITE if document is None else document))


def machine(root: Path, store: bool = False, shared: bool = False) -> FakeHost:
    """A freshly booted image of the role, with accounts that the caller may give files to.

    Args:
        store: the role has a database, a volume and a mount as well.
        shared: and its servers share the work on what is mounted.
    """
    host = FakeHost(root)
    mine = with_keys(storing(ROLE) if store else ROLE, **SHARED if shared else {})
    uid, gid = os.getuid(), os.getgid()
    for name, content in {
        "/etc/mailimg/role.json": json.dumps(mine),
        "/etc/passwd": f"root:x:{uid}:{gid}:{pwd.getpwuid(uid).pw_name}:/root:/bin/sh\n",
        "/etc/group": f"root:x:{gid}:{grp.getgrgid(gid).gr_name}\npostfix:x:{gid}:\n",
        "/etc/selinux/config": "# mode:\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
        ENFORCE: "1",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
        **{"/usr/share/mailimg/templates/" + name: text for name, text in TEMPLATES.items()},
    }.items():
        host.path(name).parent.mkdir(parents=True, exist_ok=True)
        host.path(name).write_text(content)
    seed(host, with_keys(SITE, **STORED_KEYS) if store else SITE)
    if store:
        host.disks.plug()
        host.path(PLACE).mkdir()
    host.nfs.table({})
    return host


def storing(role: Dict[str, Any]) -> Dict[str, Any]:
    """A role with a database, a volume and a mount besides."""
    mariadb = {"name": "mariadb", "unit": MARIADB_UNIT}
    return with_keys(role, **STORE, services=[mariadb, *role["services"]])


def work(host: FakeHost, document: Optional[Dict[str, Any]] = None) -> Work:
    """The goal of a run on `machine`."""
    mine = preparing.read_role(host, preparing.Options())
    checked = secret.resolve(site.load(SITE if document is None else document, mine), lambda _: b"").site
    me = nodes.make("mx-1", INSTANCE, checked, mine)
    templates = str(host.path("/usr/share/mailimg/templates"))
    return Work(mine, checked, me, rendering.render_all(mine, checked, me, templates))


def picture(host: FakeHost) -> Dict[str, Any]:
    """All that steps can change."""
    files = {str(path.relative_to(host.root)): (path.stat().st_mode, path.read_bytes())
             for path in host.root.rglob("*") if path.is_file()}
    units = {"running": dict(host.systemd.running), "orders": len(host.systemd.orders)}
    stored = {"databases": set(host.mariadb.databases), "accounts": set(host.mariadb.accounts),
              "given": dict(host.given), "folders": set(host.nfs.folders),
              "roster": dict(host.nfs.roster), "pools": dict(host.cloud.dialect.held),
              "accounts of computers": host.domain.state()}
    return {"files": files, "name": host.name, **units, **stored}
