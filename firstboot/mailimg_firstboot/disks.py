"""Block devices of the machine: found, looked at, formatted, grown.

What may be done to one is decided in steps/volume.py.
"""

import os
from pathlib import Path
from typing import Any, Callable, Dict

from mailimg_firstboot.errors import StepError

BY_ID = "/dev/disk/by-id"

# Seconds: mkfs writes a few hundred MB for a volume of terabytes, growing one too.
LONG = 3600.0

# blkid's status when it finds nothing that it knows.
NOTHING_KNOWN = 2


class Disks:
    """The machine's disks.

    Args:
        path: `Host.path`.
        run: `Host.run`.
    """

    def __init__(self, path: Callable[[str], Path], run: Callable[..., Any]) -> None:
        self._path = path
        self._run = run

    def by_id(self) -> Dict[str, str]:
        """Names that udev made of kind and serial of each disk, with the disk's path: {"virtio-...": "/dev/vdb"}."""
        folder = self._path(BY_ID)
        if not folder.is_dir():
            return {}
        return {link.name: os.path.normpath(os.path.join(BY_ID, os.readlink(str(link))))  # noqa: PTH115, PTH118
                for link in folder.iterdir() if link.is_symlink()}

    def size(self, device: str) -> int:
        """Its size in bytes."""
        with self._open(device, os.O_RDONLY) as stream:
            return int(stream.seek(0, os.SEEK_END))

    def read(self, device: str, offset: int, length: int) -> bytes:
        """Bytes of it, fewer at its end."""
        with self._open(device, os.O_RDONLY) as stream:
            stream.seek(offset)
            return bytes(stream.read(length))

    def write(self, device: str, offset: int, content: bytes) -> None:
        """Write bytes; on the medium when this returns."""
        with self._open(device, os.O_WRONLY) as stream:
            stream.seek(offset)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    def _open(self, device: str, flags: int) -> Any:
        try:
            handle = os.open(str(self._path(device)), flags | os.O_CLOEXEC)
        except OSError as error:
            raise StepError("open {}: {}".format(device, error.strerror), "The agent runs as root.") from error
        return os.fdopen(handle, "rb" if flags == os.O_RDONLY else "wb")

    def probe(self, device: str) -> Dict[str, str]:
        """What blkid knows of its content (TYPE, LABEL, PTTYPE, ...); empty when nothing.

        Raises:
            StepError: blkid cannot say: there are several kinds of content, or the device does not answer.
        """
        argv = ["blkid", "-p", "-o", "export", str(self._path(device))]
        done = self._run(argv, "look at {}".format(device), check=False)
        if done.status not in (0, NOTHING_KNOWN):
            raise StepError("look at {}: blkid ended with status {}{}".format(
                device, done.status, ": " + done.err if done.err else ""),
                "It is left as it is; `wipefs {}` shows what stands on it.".format(device))
        lines = done.out.decode("utf-8", "replace").splitlines()
        return {key: value for key, _, value in (line.partition("=") for line in lines) if key != "DEVNAME"}

    def format(self, device: str, label: str) -> None:
        """Make an ext4 filesystem; whatever was there is lost."""
        # nodiscard: nothing is on it that could be discarded, and the mark of step `volume` has to stay. -m 1: 5 % of a
        # large volume is more than root will ever need. -F: no questions.
        argv = ["mkfs.ext4", "-q", "-F", "-m", "1", "-E", "nodiscard", "-L", label, str(self._path(device))]
        self._run(argv, "format {}".format(device), LONG)

    def grow(self, device: str) -> None:
        """Let its mounted ext4 filesystem take the whole device."""
        self._run(["resize2fs", str(self._path(device))], "grow the filesystem of {}".format(device), LONG)
