"""What debugfs is told: every entry, by name, whatever order the build host's file system lists them in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailimg import ext4
from mailimg.errors import StepError

EPOCH = 1_700_000_000


def commands(tree: Path, files: dict[str, str], scratch: Path) -> list[str]:
    """The commands, with the folder of values made short."""
    scratch.mkdir()
    told = list(ext4.fill(tree, files, EPOCH, scratch))
    return [line.replace(str(tree), "TREE").replace(str(scratch / "values"), "VALUES") for line in told]


def a_tree(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o640)
        os.utime(path, (EPOCH - 5, EPOCH - 5))
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            os.utime(path, (EPOCH - 9, EPOCH - 9))
    return folder


def test_order_is_by_name_not_by_creation(tmp_path: Path) -> None:
    one = a_tree(tmp_path / "one", ["b", "a/z", "a/c", "c"])
    other = a_tree(tmp_path / "other", ["c", "a/c", "b", "a/z"])
    told = commands(one, {}, tmp_path / "s1")
    assert told == commands(other, {}, tmp_path / "s2")
    made = [line.split('"')[-2] for line in told if line.startswith(("write", "mkdir"))]
    assert made == ["/a", "/a/c", "/a/z", "/b", "/c"]


def test_a_file_keeps_mode_and_time(tmp_path: Path) -> None:
    told = commands(a_tree(tmp_path / "tree", ["a"]), {}, tmp_path / "s")
    assert 'write "TREE/a" "/a"' in told
    assert 'set_inode_field "/a" mode 0100640' in told
    assert f'set_inode_field "/a" mtime @{EPOCH - 5}' in told


def test_links_stay_links(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree", ["a"])
    os.link(tree / "a", tree / "b")
    (tree / "s").symlink_to("../else where")
    (tree / "d").symlink_to(".")
    told = commands(tree, {}, tmp_path / "s")
    assert 'ln "/a" "/b"' in told
    assert 'set_inode_field "/a" links_count 2' in told
    assert 'symlink "/s" "../else where"' in told
    assert 'symlink "/d" "."' in told
    assert not [line for line in told if line.startswith("mkdir")]


def test_names_in_other_layers_count_for_nothing(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree", ["a"])
    before = commands(tree, {}, tmp_path / "s1")
    os.link(tree / "a", tmp_path / "of another layer")
    assert commands(tree, {}, tmp_path / "s2") == before


def test_files_replace_what_is_there_and_bring_their_folders(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree", ["etc/fstab", "etc/hosts"])
    told = commands(tree, {"etc/fstab": "new\n", "boot/grub/grub.cfg": "menu\n"}, tmp_path / "s")
    made = [line for line in told if line.startswith(("write", "mkdir"))]
    assert made == [
        'mkdir "/boot"',
        'mkdir "/boot/grub"',
        f'write "VALUES/{ext4.digest(b"menu" + chr(10).encode())}" "/boot/grub/grub.cfg"',
        'mkdir "/etc"',
        f'write "VALUES/{ext4.digest(b"new" + chr(10).encode())}" "/etc/fstab"',
        'write "TREE/etc/hosts" "/etc/hosts"',
    ]
    assert f'set_inode_field "/boot/grub/grub.cfg" mtime @{EPOCH}' in told


def test_pipes_and_sockets(tmp_path: Path) -> None:
    import socket

    tree = a_tree(tmp_path / "tree", ["a/b"])
    os.mkfifo(tree / "a" / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tree / "a" / "socket"))
        told = commands(tree, {}, tmp_path / "s")
    at = told.index('mknod "pipe" p')
    assert told[at - 1] == 'cd "/a"'
    assert told[at + 1] == "cd /"
    assert not [line for line in told if "socket" in line]


def test_names_are_quoted(tmp_path: Path) -> None:
    assert ext4.quoted('a "b" c') == '"a ""b"" c"'
    with pytest.raises(StepError, match="line end in its name"):
        ext4.quoted("a\nset_inode_field")
