"""A tree's digest sees everything that decides an image, and times of the build are settled."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mailimg import trees

EPOCH = 1_700_000_000
PACKAGED = EPOCH - 1_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (tree / "etc/link").symlink_to("hosts")
    for path in (tree / "etc/hosts", tree / "etc/link", tree / "etc", tree):
        os.utime(path, (PACKAGED, PACKAGED), follow_symlinks=False)
    return tree


def relink(tree: Path) -> None:
    (tree / "etc/link").unlink()
    (tree / "etc/link").symlink_to("elsewhere")
    os.utime(tree / "etc/link", (PACKAGED, PACKAGED), follow_symlinks=False)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda tree: (tree / "etc/hosts").write_text("127.0.0.1 localhos!\n"),
    "mode": lambda tree: (tree / "etc/hosts").chmod(0o4755),
    "owner": lambda tree: os.chown(tree / "etc/hosts", 7, 7),
    "time": lambda tree: os.utime(tree / "etc/hosts", (1, 1)),
    "attribute": lambda tree: os.setxattr(tree / "etc/hosts", "user.test", b"1"),
    "link": relink,
    "hard link": lambda tree: os.link(tree / "etc/hosts", tree.parent / "twin"),
    "mode of a folder": lambda tree: (tree / "etc").chmod(0o700),
    "mode of the root": lambda tree: tree.chmod(0o700),
    "new file": lambda tree: (tree / "etc/new").write_text(""),
    "new folder": lambda tree: (tree / "new").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_seen(tree: Path, change: Callable[[Path], object]) -> None:
    before = trees.state(tree)
    change(tree)
    for path in (tree / "etc/hosts", tree / "etc", tree):
        if change is not CHANGES["time"]:
            os.utime(path, (PACKAGED, PACKAGED))
    assert trees.state(tree).digest != before.digest


def test_a_copy_elsewhere_has_the_same_digest(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "somewhere" / "else"
    (copy / "etc").mkdir(parents=True)
    (copy / "etc/link").symlink_to("hosts")
    (copy / "etc/hosts").write_text("127.0.0.1 localhost\n")
    for path in (copy / "etc/hosts", copy / "etc/link", copy / "etc", copy):
        os.utime(path, (PACKAGED, PACKAGED), follow_symlinks=False)
    assert trees.state(copy) == trees.state(tree)


def test_times_of_the_build_become_the_epoch_and_times_of_packages_stay(tree: Path) -> None:
    begun = time.time() - 1
    (tree / "var").mkdir()
    (tree / "var/written").write_text("by a hook")
    (tree / "var/pointer").symlink_to("nowhere")
    trees.settle(tree, int(begun), EPOCH)
    times = {path.name: int(path.lstat().st_mtime) for path in tree.rglob("*")}
    assert times == {"etc": PACKAGED, "hosts": PACKAGED, "link": PACKAGED,
                     "var": EPOCH, "written": EPOCH, "pointer": EPOCH}
    assert int(tree.stat().st_mtime) == EPOCH


def test_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    assert trees.state(tmp_path).bytes == 8192
    os.link(tmp_path / "a", tmp_path / "b")
    assert trees.state(tmp_path).bytes == 8192, "one file of two names"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 1 << 20)
    assert trees.state(tmp_path).bytes == 8192, "links are not followed, holes take nothing"
