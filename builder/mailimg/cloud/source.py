"""An image file on its way: what it is, and its bytes as HTTP wants them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailimg.errors import MailimgError

# Bytes a read: urllib3 asks for 16 KiB at a time and sends what it gets, each as TLS records of its own.
CHUNK = 1024 * 1024
HASHES = ("sha256", "sha512")
MAGIC = {"qcow2": b"QFI\xfb"}


class StoppedError(MailimgError):
    """The command was interrupted while this image was sent."""

    exit_code = 130


class Stream:
    """A file that is sent once.

    Args:
        progress: gets the bytes that were handed out so far.
        stop: set from another thread; the next read raises StoppedError, which cuts the connection.
    """

    def __init__(self, path: Path, progress: Callable[[int], None], stop: threading.Event) -> None:
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._progress = progress
        self._stop = stop
        self.sent = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Requests takes nothing for a stream that has no iterator."""
        while part := self.read():
            yield part

    def read(self, _size: int = -1) -> bytes:
        """The next bytes: as many as are good for us, however many are asked for."""
        if self._stop.is_set():
            raise StoppedError("interrupted while an image was sent")
        part = self._file.read(min(CHUNK, self._size - self.sent))
        self.sent += len(part)
        if part:
            self._progress(self.sent)
        return part

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def hashes(path: Path, stop: threading.Event | None = None) -> dict[str, str]:
    """Each of `HASHES` of a file, which is read once; they run side by side, since hashlib leaves the interpreter."""
    found = {name: hashlib.new(name) for name in HASHES}
    with path.open("rb") as file, ThreadPoolExecutor(len(found)) as pool:
        while part := file.read(4 * CHUNK):
            if stop is not None and stop.is_set():
                raise StoppedError("interrupted while an image was read")
            list(pool.map(lambda one, data=part: one.update(data), found.values()))
    return {name: one.hexdigest() for name, one in found.items()}


def looks_like(path: Path, form: str) -> bool:
    """Whether a file begins as its format wants; anything passes for one that has no mark."""
    magic = MAGIC.get(form, b"")
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
