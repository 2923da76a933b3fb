"""The revision that goes into manifests, asked of real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mailimg import revision

pytestmark = pytest.mark.lab


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "file").write_text("one\n")
    git(folder, "add", "file")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "one")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git."""
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout.strip()


def test_a_commit_and_changes_to_it(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert revision.of(checkout) == commit
    # What nobody added decides nothing that others could look up.
    (checkout / "new").write_text("two\n")
    assert revision.of(checkout) == commit
    (checkout / "file").write_text("two\n")
    assert revision.of(checkout) == f"{commit}-dirty"


def test_a_worktree_is_a_checkout(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    assert revision.of(tmp_path / "other") == revision.of(checkout)


def test_another_users_checkout(checkout: Path) -> None:
    """Builds run as root in the checkout of a person; git alone refuses that."""
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 4711, 4711, follow_symlinks=False)
    assert revision.of(checkout) is not None


def test_what_has_no_revision(checkout: Path, tmp_path: Path) -> None:
    assert revision.of(tmp_path) is None
    shutil.rmtree(checkout / ".git" / "refs")
    assert revision.of(checkout) is None
