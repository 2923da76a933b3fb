"""A stand-in for CentOS 7: base image and archive, so that builds can be tried where CentOS's servers are out of reach.

    stand_in = standin.make(cache)                     # a minute, or from the cache
    with standin.serve(stand_in) as server:
        server.url("updates"), server.url("epel", mirror="two"), server.mirror(), server.image_url()
        server.faults.answer("/one/*/Packages/postfix-*", 403)

It is not CentOS: README.md says what it proves and what it does not. `packages.yaml` lists the packages, `base.sh`
makes the image. Needs root (mounts in namespaces of its own) and the programs that `mailimg doctor` lists for tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailimg import process
from standin import archive, base, keys, packages
from standin import server as https

HERE = Path(__file__).resolve().parent
IMAGE = "centos-7-stand-in.qcow2"
# What decides a stand-in, beside its own files. Debian's archive is left out: no test is about its programs.
PROGRAMS = ("rpmbuild", "createrepo_c", "mmdebstrap", "mkfs.xfs", "qemu-img")
# Use a stand-in, decide nothing of it.
USES = ("server.py", "inside.py", "inside.sh")
UNUSED_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class StandIn:
    """A finished stand-in.

    Attributes:
        base_image: qcow2: MBR, one XFS partition, as GenericCloud.
        sha256: of the base image, hex.
        archive_root: folder with the repositories (archive.FOLDERS says where).
        keys: `centos`, `epel`, `sogo`: fingerprint and public key of who signed what (packages.SIGNER).
        ca: certificate of the authority that signs servers; the base image trusts it, the host does not.
        keyring: folder with the private keys, as keys.sign takes it.
    """

    base_image: Path
    sha256: str
    archive_root: Path
    keys: Mapping[str, keys.Key]
    ca: Path
    keyring: Path

    @property
    def bytes(self) -> int:
        """Size of the base image."""
        return self.base_image.stat().st_size


def make(cache: Path) -> StandIn:
    """The stand-in, from `cache` or made anew; several callers may share a cache.

    Raises:
        StepError: a program failed, or Debian's archive is out of reach.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock"):
        folder = cache / f"stand-in-{inputs()}"
        if not (folder / "stand-in.json").is_file():
            fill(cache, folder)
        os.utime(folder)
        for other in cache.glob("stand-in-*"):
            if other.stat().st_mtime < time.time() - UNUSED_SECONDS:
                archive.drop(other)
    facts = json.loads((folder / "stand-in.json").read_text(encoding="utf-8"))
    made = {name: keys.Key(facts["keys"][name], folder / "keys" / f"{name}.asc") for name in keys.NAMES}
    keyring = folder / "keys"
    return StandIn(folder / IMAGE, facts["sha256"], folder / "archive", made, keyring / "ca.pem", keyring)


def serve(stand_in: StandIn, authority: Path | None = None) -> AbstractContextManager[https.Server]:
    """Serve a stand-in on loopback; see `server.Server`.

    Args:
        authority: another one than the base image trusts (keys.make_authority).
    """
    return https.serve(stand_in.archive_root, stand_in.base_image, authority or stand_in.ca)


def inputs() -> str:
    """Digest of what decides a stand-in; 16 hex digits."""
    found = hashlib.sha256()
    for path in sorted([*HERE.glob("*.py"), *HERE.glob("*.sh"), packages.CATALOGUE, *packages.PAYLOAD.iterdir()]):
        if path.name not in USES:
            found.update(path.name.encode() + b"\0" + path.read_bytes())
    for program in PROGRAMS:
        # xfsprogs has -V alone.
        option = "-V" if program == "mkfs.xfs" else "--version"
        found.update(process.run([program, option], what=f"ask {program} for its version", timeout=60).stdout.encode())
    return found.hexdigest()[:16]


def fill(cache: Path, folder: Path) -> None:
    """Make everything that belongs into `folder`; it is there in full or not at all."""
    made = cache / "unfinished"
    archive.drop(made)
    for name in ("archive", "rpms", "image"):
        (made / name).mkdir(parents=True)
    debian = cache / f"debian-{hashlib.sha256((HERE / 'base.py').read_bytes()).hexdigest()[:16]}.tar"
    if not debian.is_file():
        for old in cache.glob("debian-*"):
            old.unlink()
        base.bootstrap(made / debian.name)
        (made / debian.name).rename(debian)
    known, installed = packages.read()
    # GnuPG's sockets want a short path.
    with tempfile.TemporaryDirectory(prefix="mailimg-") as short:
        signers = keys.make_keys(Path(short))
        keys.make_authority(Path(short))
        archive.make_archive(made / "archive", Path(short), signers, known, made / "rpms")
        shutil.copytree(short, made / "keys", ignore=shutil.ignore_patterns("S.*", ".#*"))
    chosen = [
        path
        for package in known if package.repo == "base" and package.name in installed
        for path in (made / "archive" / archive.FOLDERS["base"]).rglob(package.file_name)
    ]
    base.make_image(made / IMAGE, debian, chosen, made / "keys" / "ca.pem", made / "image")
    for name in ("rpms", "image"):
        archive.drop(made / name)
    facts = {
        "sha256": hashlib.sha256((made / IMAGE).read_bytes()).hexdigest(),
        "keys": {name: key.fingerprint for name, key in signers.items()},
    }
    (made / "stand-in.json").write_text(json.dumps(facts), encoding="utf-8")
    archive.drop(folder)
    made.rename(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
