"""Identity is content: digests of everything that decides a result."""

from __future__ import annotations

import hashlib
import json
import stat
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path


def digest(data: bytes | str) -> str:
    """SHA-256 as 64 hex digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def digest_document(document: Mapping[str, object] | list[object]) -> str:
    """SHA-256 of a JSON-able value, whatever the order of its keys."""
    return digest(json.dumps(document, sort_keys=True, separators=(",", ":")))


def digest_folder(folder: Path, *, without: Iterable[str] = ()) -> str:
    """SHA-256 over names, executable bits and bytes of all files below a folder.

    Args:
        without: file names directly in the folder that decide nothing.
    """
    skipped = set(without)
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name in skipped or "__pycache__" in path.parts:
            continue
        if path.is_symlink():
            lines.append(f"{name} link {path.readlink()}")
        elif path.is_file():
            executable = "x" if path.stat().st_mode & stat.S_IXUSR else "-"
            lines.append(f"{name} {executable} {digest(path.read_bytes())}")
    return digest("\n".join(lines))


def digest_file(path: Path) -> str:
    """SHA-256 of one file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def derived_uuid(identity: str, purpose: str) -> str:
    """A UUID that follows from an identity, so that the same inputs give the same file system UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{identity}/{purpose}"))
