"""A tree's digest sees everything that decides an image, and times of the build are settled."""

from __future__ import annotations

import os
import shutil
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
    "another name": lambda tree: os.link(tree / "etc/hosts", tree / "etc/twin"),
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


def same_tree(tree: Path, copy: Path) -> Path:
    """A copy as a build starts from."""
    shutil.copytree(tree, copy, symlinks=True)
    for path in (copy / "etc/hosts", copy / "etc/link", copy / "etc", copy):
        os.utime(path, (PACKAGED, PACKAGED), follow_symlinks=False)
    return copy


def shared(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def test_what_is_the_same_in_the_parent_is_shared_and_nothing_can_be_seen_of_it(tree: Path, tmp_path: Path) -> None:
    copy = same_tree(tree, tmp_path / "copy")
    before, parent = trees.state(copy), trees.state(tree)
    trees.share(copy, tree)
    assert shared(copy / "etc/hosts", tree / "etc/hosts")
    assert trees.state(copy) == before
    assert trees.state(tree) == parent
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "tree"]


@pytest.mark.parametrize("name", ["content", "mode", "owner", "time", "attribute"])
def test_what_differs_in_anything_is_not_shared(tree: Path, tmp_path: Path, name: str) -> None:
    copy = same_tree(tree, tmp_path / "copy")
    CHANGES[name](copy)
    if name != "time":
        os.utime(copy / "etc/hosts", (PACKAGED, PACKAGED))
    before = trees.state(copy)
    trees.share(copy, tree)
    assert not shared(copy / "etc/hosts", tree / "etc/hosts")
    assert trees.state(copy) == before


def test_sharing_neither_joins_nor_parts_names(tree: Path, tmp_path: Path) -> None:
    """One file with two names here, two files there, and the other way round."""
    copy = same_tree(tree, tmp_path / "copy")
    for name in ("a", "b"):
        (tree / name).write_text("x")
        os.utime(tree / name, (PACKAGED, PACKAGED))
    (copy / "a").write_text("x")
    os.link(copy / "a", copy / "b")
    os.utime(copy / "a", (PACKAGED, PACKAGED))
    for one, other in ((copy, tree), (tree, copy)):
        before = trees.state(one)
        trees.share(one, other)
        assert trees.state(one) == before


def test_a_link_out_of_the_tree_is_not_followed(tree: Path, tmp_path: Path) -> None:
    copy = same_tree(tree, tmp_path / "copy")
    (copy / "etc/link").unlink()
    (copy / "etc/link").write_text("127.0.0.1 localhost\n")
    trees.share(copy, tree)
    assert not (copy / "etc/link").is_symlink()


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
