"""Base images: which file is taken, and that none is used whose digest is not right."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from mailimg import base_image, web
from mailimg.errors import InputError, StepError
from mailimg.identity import digest_file
from mailimg.sources import BaseImage, Wanted

CONTENT = b"an image"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PLACES = ["https://a.example.org/i", "https://b.example.org/i"]
KNOWN = {"urls": PLACES, "sha256": SHA256, "bytes": 8, "release": "R 7."}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "base.qcow2"
    path.write_bytes(CONTENT)
    return path


def test_the_known_image_or_the_users_file_of_it(file: Path) -> None:
    assert base_image.chosen(KNOWN, Wanted(), digest_file).file is None
    found = base_image.chosen(KNOWN, Wanted(base_image=file), digest_file)
    assert (found.file, found.sha256, found.release) == (file, SHA256, "R 7.")
    assert found.environment() == {"MAILIMG_BASE_SHA256": SHA256, "MAILIMG_BASE_RELEASE": "R 7."}


def test_another_file_only_with_its_digest(file: Path) -> None:
    file.write_bytes(b"another")
    other = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(InputError) as caught:
        base_image.chosen(KNOWN, Wanted(base_image=file), digest_file)
    assert caught.value.problems == (f"--base-image {file}: its SHA-256 is {other}, expected {SHA256}",)
    assert "--base-sha256" in caught.value.hint
    found = base_image.chosen(KNOWN, Wanted(base_image=file, base_sha256=other.upper()), digest_file)
    assert (found.sha256, found.size_bytes) == (other, 0)
    for wrong in ("12", "x" * 64):
        with pytest.raises(InputError, match="is no SHA-256"):
            base_image.chosen(KNOWN, Wanted(base_sha256=wrong), digest_file)


def serve(monkeypatch: pytest.MonkeyPatch, pages: dict[str, bytes | str]) -> list[str]:
    """Let downloads answer with bytes, or fail with a reason; the list fills with the URLs asked."""
    asked: list[str] = []

    def download(url: str, target: IO[bytes], progress: Callable[[int], None], *, ca: Path | None) -> None:
        asked.append(url)
        page = pages[url]
        if isinstance(page, str):
            target.write(b"half")
            raise web.UnreachableError(page)
        target.write(page)
        progress(len(page))

    monkeypatch.setattr(web, "download", download)
    monkeypatch.setattr(base_image, "NEED_BYTES", 0)
    return asked


def image(file: Path | None = None) -> BaseImage:
    return base_image.chosen(KNOWN, Wanted(base_image=file), digest_file)


def test_downloaded_once_from_the_first_place_that_gives_the_right_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = serve(monkeypatch, {"https://a.example.org/i": b"wrong", "https://b.example.org/i": CONTENT})
    told: list[str] = []
    cache = tmp_path / "cache"
    path = base_image.obtain(image(), cache, told.append)
    assert path.read_bytes() == CONTENT
    assert told == ["base image: 0 of 0 MiB", "base image: 0 of 0 MiB"]
    assert base_image.obtain(image(), cache, told.append) == path
    assert asked == PLACES, "it was downloaded again"
    path.write_bytes(b"damaged")
    assert base_image.obtain(image(), cache, told.append).read_bytes() == CONTENT
    assert list(cache.iterdir()) == [path], "a part of a download was left"


def test_every_place_that_failed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, {"https://a.example.org/i": "404 Not Found", "https://b.example.org/i": b"wrong"})
    with pytest.raises(StepError) as caught:
        base_image.obtain(image(), tmp_path / "cache", lambda _: None)
    lines = caught.value.message.splitlines()
    assert lines[:2] == ["cannot fetch the base image:", "https://a.example.org/i: 404 Not Found"]
    assert lines[2].startswith("https://b.example.org/i: its SHA-256 is ")
    assert "--base-image FILE" in caught.value.hint
    assert "--distro debian-12" in caught.value.hint
    assert not list((tmp_path / "cache").iterdir())


def test_a_users_file_that_changes_is_not_used(file: Path, tmp_path: Path) -> None:
    base = image(file)
    assert base_image.obtain(base, tmp_path / "cache", lambda _: None) == file
    file.write_bytes(b"changed")
    with pytest.raises(StepError, match="changed while the build ran"):
        base_image.obtain(base, tmp_path / "cache", lambda _: None)
    assert file.read_bytes() == b"changed"


def test_a_disk_that_is_too_small_is_said_before_the_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = serve(monkeypatch, {})
    monkeypatch.setattr(base_image, "NEED_BYTES", 10**18)
    with pytest.raises(StepError, match="GiB free; the base image and its unpacked tree need"):
        base_image.obtain(image(), tmp_path / "cache", lambda _: None)
    assert asked == []
