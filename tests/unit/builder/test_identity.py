"""Digests: content decides, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailimg import identity


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "element"
    (made / "install.d").mkdir(parents=True)
    (made / "README.rst").write_text("words")
    (made / "install.d" / "50-x").write_text("#!/bin/bash\n")
    (made / "link").symlink_to("install.d/50-x")
    return made


def test_digest_is_sha256() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert identity.digest("") == identity.digest(b"") == empty


def test_document_digest_knows_no_order_of_keys_but_of_items() -> None:
    assert identity.digest_document({"a": 1, "b": [1, 2]}) == identity.digest_document({"b": [1, 2], "a": 1})
    assert identity.digest_document({"b": [1, 2]}) != identity.digest_document({"b": [2, 1]})


def test_folder_digest_is_the_same_elsewhere(folder: Path, tmp_path: Path) -> None:
    before = identity.digest_folder(folder)
    moved = folder.rename(tmp_path / "moved")
    (moved / "install.d" / "50-x").touch()
    (moved / "install.d" / "__pycache__").mkdir()
    (moved / "install.d" / "__pycache__" / "x.pyc").write_text("made by a tool")
    assert identity.digest_folder(moved) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "install.d" / "50-x").write_text("#!/bin/sh\n"),
        lambda folder: (folder / "install.d" / "50-x").chmod(0o755),
        lambda folder: (folder / "install.d" / "50-x").rename(folder / "install.d" / "51-x"),
        lambda folder: (folder / "install.d" / "50-x").unlink(),
        lambda folder: (folder / "new").write_text(""),
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("install.d/51-x")),
    ],
    ids=["bytes", "executable bit", "name", "removed", "added", "target of a link"],
)
def test_folder_digest_follows_content(folder: Path, change: object) -> None:
    before = identity.digest_folder(folder)
    assert callable(change)
    change(folder)
    assert identity.digest_folder(folder) != before


def test_files_that_decide_nothing_are_left_out_at_the_top_only(folder: Path) -> None:
    before = identity.digest_folder(folder, without=["README.rst"])
    (folder / "README.rst").write_text("other words")
    assert identity.digest_folder(folder, without=["README.rst"]) == before
    (folder / "install.d" / "README.rst").write_text("copied into the image")
    assert identity.digest_folder(folder, without=["README.rst"]) != before


def test_file_digest(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 5_000_000)
    assert identity.digest_file(path) == identity.digest(b"x" * 5_000_000)


def test_uuid_follows_from_identity_and_purpose() -> None:
    assert identity.derived_uuid("a", "root") == "eb8b7583-bcad-5093-935f-ea7b076fecb4"
    assert len({identity.derived_uuid(one, two) for one in "ab" for two in ("root", "disk")}) == 4
