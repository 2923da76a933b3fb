"""What a machine in a folder has beside files and units: a database server, disks that are files, a storage server."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set, Tuple

from mailimg_firstboot.disks import Disks
from mailimg_firstboot.errors import StepError, TransientError
from mailimg_firstboot.mariadb import MariaDB
from mailimg_firstboot.nfs import NFS, Storage
from mailimg_firstboot.selinux import ENFORCE, SELinux

if TYPE_CHECKING:
    from firstboot_machine import FakeHost

SERIAL = "7d8f4f0e-2c41-4f0e-9a55-0d8b5f8f2a10"
DISK = "/dev/vdb"
DISK_SIZE = 4 << 20
MARIADB_UNIT = "mariadb.service"

PLACE = "/MAILBOXES"
INDEXES = "/var/lib/dovecot/indexes"
SIBLINGS = "/var/lib/dovecot/siblings"
FOLDERS = 16

# What a role with a database, a volume and a mount has more than the role of the other tests.
STORE: Dict[str, Any] = {
    "site": ["domains", "cloud_domain", "networks", "directory", "vips.delivery", "volume", "storage"],
    "databases": [{"name": "sogo", "service": "mariadb", "account": "sogo"}],
    "volume": {"mount": "/NFSVOL", "owner": 5000, "group": 5000, "mode": "0750"},
    "mount": {"path": PLACE, "site": "storage", "owner": 5000, "group": 5000, "folders": FOLDERS,
              "indexes": INDEXES},
    "facts__mariadb": {"client": "/usr/bin/mariadb", "socket": "/run/mysqld/mysqld.sock"},
}

# What it has besides if its servers share the work.
SHARED: Dict[str, Any] = {
    "assignment": {"file": SIBLINGS, "pass_on": [{"port": 24, "to": 10124}, {"port": 143, "to": 10143, "tls": True}]},
}

# What the site document has for it.
STORED_KEYS: Dict[str, Any] = {
    "volume": {"serial": SERIAL},
    "storage": {"server": "nfs.example.org", "export": "/NFSVOL"},
}


class FakeNFS(NFS):
    """A server that serves: its unit's options are what the kernel shows, and its folders are a set.

    Attributes:
        answers: what `reach`, then the mount, then `look` say; an error is raised.
        owner: of the export's root.
    """

    def __init__(self, host: "FakeHost") -> None:
        super().__init__(host.path, host.run)
        self.host = host
        self.folders: Set[int] = set()
        self.owner = (5000, 5000)
        self.away: Optional[Exception] = None
        self.refuses = ""
        self.unfit: Optional[Exception] = None
        self.exported: Optional[List[str]] = ["/NFSVOL"]
        self.roster: Dict[str, Tuple[str, float]] = {}

    def table(self, units: Dict[str, Any]) -> None:
        """The kernel's tables, as the units that run make them."""
        mounts, info = "/dev/vda1 / ext4 rw 0 0\n", "22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
        if "NFSVOL.mount" in units:
            mounts += f"{DISK} /NFSVOL ext4 rw 0 0\n"
        if "MAILBOXES.mount" in units:
            text = (self.host.read("/etc/systemd/system/MAILBOXES.mount") or b"").decode()
            fields = dict(line.partition("=")[::2] for line in text.splitlines())
            info += "40 22 0:40 / {} rw shared:2 - nfs {} {}\n".format(PLACE, fields["What"], fields["Options"])
        folder = self.host.path("/proc/self")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("mounts", mounts), ("mountinfo", info)):
            (folder / (name + ".new")).write_text(text)
            (folder / (name + ".new")).rename(folder / name)

    def reach(self, goal: Storage) -> None:
        if self.away:
            raise self.away

    def exports(self, server: str) -> Optional[List[str]]:
        return self.exported

    def journal_end(self, unit: str) -> str:
        return "cursor"

    def said_since(self, unit: str, end: str) -> str:
        return self.refuses if end == "cursor" else ""

    def look(self, place: str, uid: int, gid: int, folders: int) -> Dict[str, Any]:
        if self.unfit:
            raise self.unfit
        return {"uid": self.owner[0], "gid": self.owner[1], "read_only": False, "missing": folders - len(self.folders)}

    def trial(self, place: str, uid: int, gid: int, name: str) -> None:
        if self.unfit:
            raise self.unfit

    def report(self, place: str, uid: int, gid: int, name: str, address: str) -> Dict[str, Tuple[str, float]]:
        if self.unfit:
            raise self.unfit
        self.host.fuse.before("report")
        self.roster[name] = (address, 0.0)
        self.host.fuse.after("report")
        return dict(self.roster)

    def retire(self, place: str, uid: int, gid: int, name: str) -> None:
        self.host.fuse.before("retire")
        self.roster.pop(name, None)
        self.host.fuse.after("retire")

    def prepare(self, place: str, uid: int, gid: int, folders: int, name: str) -> int:
        for half in (range(folders // 2), range(folders // 2, folders)):
            if not self.folders.issuperset(half):
                self.host.fuse.before(f"folders {half}")
                self.folders.update(half)
                self.host.fuse.after(f"folders {half}")
        return folders


AWAY = TransientError("storage server nfs.example.org does not answer at port 2049: Connection refused")


class FakeMariaDB(MariaDB):
    """A server that answers while its unit runs."""

    def __init__(self, host: "FakeHost") -> None:
        super().__init__(host.run)
        self.host = host
        self.databases: Set[str] = set()
        self.accounts: Set[Tuple[str, str]] = set()

    def _ready(self) -> None:
        if MARIADB_UNIT not in self.host.systemd.running:
            raise StepError("look for database: no server")

    def missing(self, client: str, socket: str, name: str, account: str) -> str:
        self._ready()
        parts = {"database": name in self.databases, "account": any(one == account for one, _ in self.accounts),
                 "rights": (account, name) in self.accounts}
        return ", ".join(part for part, there in parts.items() if not there)

    def create(self, client: str, socket: str, name: str, account: str, charset: str) -> None:
        self._ready()
        for kind, known, value in (("database", self.databases, name), ("account", self.accounts, (account, name))):
            self.host.fuse.before(f"create {kind}")
            known.add(value)  # type: ignore[attr-defined]
            self.host.fuse.after(f"create {kind}")

    def close(self, client: str, socket: str, name: str, account: str) -> None:
        self._ready()
        self.accounts = {one for one in self.accounts if one[0] != account}


class FakeSELinux(SELinux):
    """A kernel whose mode is a file."""

    def __init__(self, host: "FakeHost") -> None:
        super().__init__(host.path, host.run)
        self.host = host

    def set(self, mode: str) -> None:
        self.host.fuse.before("set SELinux " + mode)
        self.host.path(ENFORCE).write_text("1" if mode == "enforcing" else "0")
        self.host.fuse.after("set SELinux " + mode)


class FakeDisks(Disks):
    """Disks that are files below the root; a superblock is all there is of a filesystem."""

    def __init__(self, host: "FakeHost") -> None:
        super().__init__(host.path, host.run)
        self.host = host

    def plug(self, size: int = DISK_SIZE, serial: str = SERIAL) -> None:
        """Attach a blank disk."""
        target = self.host.path(DISK)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            stream.truncate(size)
        link = self.host.path(f"/dev/disk/by-id/virtio-{serial[:20]}")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../../vdb")

    def probe(self, device: str) -> Dict[str, str]:
        block = self.read(device, 1024, 1024)
        if block[56:58] != b"\x53\xef":
            return {}
        return {"TYPE": "ext4", "LABEL": block[120:136].rstrip(b"\0").decode()}

    def write(self, device: str, offset: int, content: bytes) -> None:
        what = f"{'mark' if any(content) else 'clear mark of'} {device}"
        self.host.fuse.before(what)
        super().write(device, offset, content)
        self.host.fuse.after(what)

    def format(self, device: str, label: str) -> None:
        self.host.fuse.before(f"format {device}")
        super().write(device, 8192, b"half of a filesystem")
        self.host.fuse.after(f"format {device}")
        self.host.fuse.before(f"finish {device}")
        super().write(device, 1024, superblock(self.size(device), label))
        self.host.fuse.after(f"finish {device}")

    def grow(self, device: str) -> None:
        self.host.fuse.before(f"grow {device}")
        super().write(device, 1024, superblock(self.size(device), self.probe(device)["LABEL"]))
        self.host.fuse.after(f"grow {device}")


def superblock(size: int, label: str) -> bytes:
    """Of an ext4 filesystem: number of blocks (64bit), size of a block (4096), magic number, label."""
    block = bytearray(1024)
    blocks = size // 4096
    block[4:8] = (blocks & 0xFFFFFFFF).to_bytes(4, "little")
    block[24:28] = (2).to_bytes(4, "little")
    block[56:58] = b"\x53\xef"
    block[0x60:0x64] = (0x80).to_bytes(4, "little")
    block[120:136] = label.encode().ljust(16, b"\0")
    block[0x150:0x154] = (blocks >> 32).to_bytes(4, "little")
    return bytes(block)
