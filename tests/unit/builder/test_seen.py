"""Remembered digests: nothing is believed of a file that somebody touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailimg import seen
from mailimg.identity import digest


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read in full; all files count as settled."""
    found: list[Path] = []

    def read(path: Path) -> str:
        found.append(path)
        return digest(path.read_bytes())

    monkeypatch.setattr(seen, "digest_file", read)
    monkeypatch.setattr(seen, "SETTLED_SECONDS", -1.0)
    return found


def test_a_file_is_read_once(image: Path, tmp_path: Path, reads: list[Path]) -> None:
    for _ in range(3):
        assert seen.Digests(tmp_path / "memory").of(image) == digest(b"content")
    assert reads == [image]
    assert not [path for path in (tmp_path / "memory").iterdir() if path.suffix != ".json"]


def test_an_altered_file_is_read_again_even_with_its_old_size_and_time(
    image: Path, tmp_path: Path, reads: list[Path]
) -> None:
    digests = seen.Digests(tmp_path / "memory")
    digests.of(image)
    times = (image.stat().st_atime_ns, image.stat().st_mtime_ns)
    with image.open("r+b") as file:
        file.write(b"C")
    os.utime(image, ns=times)
    assert digests.of(image) == digest(b"Content")
    assert len(reads) == 2


def test_another_file_of_that_name_is_read(image: Path, tmp_path: Path, reads: list[Path]) -> None:
    digests = seen.Digests(tmp_path / "memory")
    digests.of(image)
    other = tmp_path / "other"
    other.write_bytes(b"contenT")
    other.replace(image)
    assert digests.of(image) == digest(b"contenT")


def test_a_fresh_file_is_not_remembered(image: Path, tmp_path: Path) -> None:
    assert seen.Digests(tmp_path / "memory").of(image) == digest(b"content")
    assert not (tmp_path / "memory").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": []}', "3"])
def test_a_damaged_memory_is_no_memory(image: Path, tmp_path: Path, reads: list[Path], text: str) -> None:
    digests = seen.Digests(tmp_path / "memory")
    digests.of(image)
    (record,) = (tmp_path / "memory").iterdir()
    record.write_text(text)
    assert digests.of(image) == digest(b"content")
    assert len(reads) == 2
