"""Digests of large files, remembered for as long as nobody touches the file.

Only for the question "is there anything to do?": what is verified or uploaded is always read in full. Every write moves
a file's change time, which no program can set, so an altered file is read again.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from mailimg.identity import digest, digest_file

# A file that was changed a moment ago may change again without a visible difference of its times.
SETTLED_SECONDS = 2.0


class Digests:
    """Remembered digests, one small file each in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, path: Path) -> str:
        """SHA-256 of a file."""
        record = self.folder / f"{digest(str(path.resolve()))[:32]}.json"
        before = state(path)
        try:
            known = json.loads(record.read_text(encoding="utf-8"))
            if known["state"] == before:
                return str(known["sha256"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # not seen yet, or written by somebody else: read the file
        found = digest_file(path)
        if state(path) == before and time.time() - path.stat().st_ctime > SETTLED_SECONDS:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = record.with_name(f".{record.name}.{os.getpid()}.{threading.get_ident()}")
            partial.write_text(json.dumps({"state": before, "sha256": found}) + "\n", encoding="utf-8")
            partial.replace(record)
        return found


def state(path: Path) -> list[int]:
    """What differs after a file was written to, replaced or moved here."""
    facts = path.stat()
    return [facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
