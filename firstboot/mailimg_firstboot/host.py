"""The machine, as steps see it: files below a root, programs, units, name, clock. Nothing else touches the machine.

Steps in several threads share one; every method may be called by them at the same time.
Tests give another `root` and fakes for what a folder cannot be.
"""

import contextlib
import glob
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from mailimg_firstboot import clocks, encoding
from mailimg_firstboot.cloud import Cloud
from mailimg_firstboot.disks import Disks
from mailimg_firstboot.domain import Domain
from mailimg_firstboot.errors import BusyError, FirstbootError, StepError
from mailimg_firstboot.mariadb import MariaDB
from mailimg_firstboot.nfs import NFS
from mailimg_firstboot.postfix import Postfix
from mailimg_firstboot.programs import Completed, Programs
from mailimg_firstboot.rolefile import HealthCheck
from mailimg_firstboot.selinux import SELinux
from mailimg_firstboot.systemd import Systemd
from mailimg_firstboot.tls import Tls

# Suffix of files that are being written: a killed run may leave one, the next write of the same file removes it.
UNFINISHED = ".mailimg-new"


class FileState(NamedTuple):
    """What a path is; `regular` is false for links, folders and devices."""

    uid: int
    gid: int
    mode: int
    regular: bool


class Host:
    """One machine.

    Args:
        root: folder that stands for `/`; every path given to the methods is taken below it.
        systemd: its units; by default those of systemd.
    """

    def __init__(self, root: str = "/", systemd: Optional[Systemd] = None) -> None:
        self.root = Path(root).resolve()
        self.programs = Programs()
        # For whoever reads a file, changes it and writes it back; steps run at the same time.
        self.guard = threading.RLock()
        self.systemd = systemd or Systemd(self.run)
        self.mariadb = MariaDB(self.run)
        self.cloud = Cloud()
        self.postfix = Postfix(self.path, self.run)
        self.disks = Disks(self.path, self.run)
        self.domain = Domain(self.path, self.run)
        self.nfs = NFS(self.path, self.run)
        self.selinux = SELinux(self.path, self.run)
        self.tls = Tls(self.path, self.run)

    def path(self, path: str) -> Path:
        """Where `path` of the machine is for this process."""
        return self.root / encoding.path(path.lstrip("/"))

    def read(self, path: str) -> Optional[bytes]:
        """The bytes of a file, or None when there is none.

        Raises:
            FirstbootError: it is there but cannot be read.
        """
        try:
            return self.path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise FirstbootError("read {}: {}".format(path, error.strerror), "The agent runs as root.") from error

    def state(self, path: str) -> Optional[FileState]:
        """Owner, group and mode of a path, links not followed; None when there is nothing."""
        try:
            found = self.path(path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return FileState(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), stat.S_ISREG(found.st_mode))

    def ids(self, owner: str, group: str) -> Tuple[int, int]:
        """Numbers of an account and a group of this machine.

        Raises:
            StepError: one of them does not exist.
        """
        return self._id(owner, "passwd"), self._id(group, "group")

    def _id(self, name: str, database: str) -> int:
        if self.root == Path("/"):
            import grp
            import pwd

            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name).pw_uid if database == "passwd" else grp.getgrnam(name).gr_gid
        for line in (self.read("/etc/" + database) or b"").decode("utf-8", "replace").splitlines():
            fields = line.split(":")
            if fields[0] == name and len(fields) > 2:
                return int(fields[2])
        kind = "account" if database == "passwd" else "group"
        raise StepError("no {} {} on this machine".format(kind, name), "The image must bring it: role.json, `files`.")

    def write(self, path: str, content: bytes, owner: str = "root", group: str = "root", mode: int = 0o644) -> None:
        """Replace a file as a whole: owner and mode before content, on disk before it gets its name.

        Raises:
            StepError: it cannot be written, or the account does not exist.
        """
        uid, gid = self.ids(owner, group)
        target = self.path(path)
        try:
            # One at a time: what looks like the leavings of a killed run may be another thread's.
            with self.guard:
                self._replace(target, content, uid, gid, mode)
        except OSError as error:
            words = "write {}: {}".format(path, error.strerror)
            raise StepError(words, "Is the disk full or read-only? `df -h`") from error

    def _replace(self, target: Path, content: bytes, uid: int, gid: int, mode: int) -> None:
        target.parent.mkdir(0o755, parents=True, exist_ok=True)
        for stale in target.parent.glob("." + glob.escape(target.name) + ".*" + UNFINISHED):
            stale.unlink()
        # Not tempfile, which would import random (see cli). O_EXCL follows no link and takes no file of another.
        unfinished = target.with_name(".{}.{}{}".format(target.name, os.getpid(), UNFINISHED))
        handle = os.open(str(unfinished), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                os.fchown(handle, uid, gid)
                os.fchmod(handle, mode)
                stream.write(content)
                stream.flush()
                os.fsync(handle)
            unfinished.rename(target)
        except BaseException:
            unfinished.unlink()
            raise
        self._sync(target.parent)

    def append(self, path: str, line: str) -> None:
        """Add one line to a log file that everybody may read."""
        target = self.path(path)
        target.parent.mkdir(0o755, parents=True, exist_ok=True)
        handle = os.open(str(target), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(handle, line.encode("utf-8") + b"\n")
        finally:
            os.close(handle)

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens when there is none."""
        target = self.path(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()
            self._sync(target.parent)

    def entries(self, path: str) -> List[str]:
        """Names of what a folder holds; nothing, when there is no folder."""
        try:
            return sorted(one.name for one in self.path(path).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def empty(self, path: str) -> None:
        """Remove all that a folder holds, and leave the folder.

        Raises:
            StepError: something cannot be removed.
        """
        import shutil

        for name in self.entries(path):
            target = self.path(path) / name
            try:
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(str(target))
                else:
                    target.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StepError("remove {}/{}: {}".format(path, name, error.strerror)) from error

    def give(self, path: str, uid: int, gid: int, mode: int) -> None:
        """Set owner, group and mode of a folder.

        Raises:
            StepError: it cannot be done.
        """
        try:
            os.chown(str(self.path(path)), uid, gid)
            self.path(path).chmod(mode)
        except OSError as error:
            raise StepError("give {} to {}:{}: {}".format(path, uid, gid, error.strerror)) from error

    @staticmethod
    def _sync(folder: Path) -> None:
        handle = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def lock(self, path: str) -> Iterator[None]:
        """Hold a lock until the block or the process ends.

        Raises:
            BusyError: somebody else holds it.
        """
        import fcntl

        target = self.path(path)
        target.parent.mkdir(0o755, parents=True, exist_ok=True)
        handle = os.open(str(target), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError("another run of mailimg-firstboot is at work on this machine",
                                "Wait for it: `mailimg-firstboot status --wait`.") from None
            yield
        finally:
            os.close(handle)

    def run(
        self, argv: Sequence[str], what: str, timeout: float = 60.0, check: bool = True, stdin: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
    ) -> Completed:
        """Run a program to its end; see `Programs.run`."""
        return self.programs.run(argv, what, timeout, check, stdin, env)

    def hostname(self) -> str:
        """The kernel's host name."""
        return socket.gethostname()

    def set_hostname(self, name: str) -> None:
        """Set the kernel's host name."""
        socket.sethostname(name)

    def clock_synchronised(self) -> bool:
        """Whether the kernel's clock follows a time source."""
        return clocks.synchronised()

    def uptime(self) -> float:
        """Seconds since this machine started; a container starts with its first process, whatever the kernel's age."""
        return clocks.uptime(self.read, self.path("/run/systemd/container").exists())

    def spent(self) -> float:
        """Processor time in seconds that this process and the programs it has run have taken."""
        return sum(os.times()[:4])

    def console(self, line: str) -> None:
        """A line for whoever looks at the console; one that is missing, full or broken never stops a boot."""
        with contextlib.suppress(OSError):
            handle = os.open(str(self.path("/dev/console")), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(handle, line.encode("utf-8", "replace") + b"\r\n")
            finally:
                os.close(handle)

    def probe(self, check: HealthCheck, patience: float = 10.0) -> Optional[str]:
        """Carry out a health check: None, or what is wrong in words; `patience` in seconds for each answer.

        A daemon on the same machine that needs longer does not serve.
        """
        from mailimg_firstboot import probes
        return probes.probe(check, patience)

    def talk(self, place: Union[str, int], request: bytes, end: bytes, patience: float) -> bytes:
        """What a daemon of this machine answers at a socket or port; see `probes.talk`."""
        from mailimg_firstboot import probes
        return probes.talk(str(self.path(place)) if isinstance(place, str) else place, request, end, patience)
