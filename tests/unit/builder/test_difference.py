"""What differs between two images: pure comparisons, and what debugfs prints."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mailimg import difference, disktree
from mailimg.commands.difftable import difference_tables, size_words
from mailimg.difference import Snapshot
from mailimg.errors import StepError
from mailimg.filetree import Entry, TreeFiles, capability_words

FILE = Entry("file", 0o644, 0, 0, 5)
NO_FILES = Snapshot({}, {}, {})


def link(target: str) -> Entry:
    return Entry("link", 0o777, 0, 0, target=target)


def document(**more: Any) -> dict[str, Any]:
    return {
        "role": "mx",
        "distro": "debian-12",
        "identity": "a" * 64,
        "image": {"sha256": "b" * 64, "bytes": 1, "tree_bytes": 2, "virtual_bytes": 3},
        "packages": [{"name": "postfix", "version": "1"}, {"name": "libc6:amd64", "version": "2"}],
        "contract": {"listeners": [22, 25], "ports": [{"name": "smtp", "port": 25, "peers": "internet"}]},
        **more,
    }


def test_same() -> None:
    found = difference.compare(document(), document(identity="c" * 64), (NO_FILES, NO_FILES))
    assert not found, "an identity alone is no difference"
    assert found.measures.changed == {"identity": ("a" * 64, "c" * 64)}
    assert next(iter(difference_tables(found, 5))).row_count == 1


def test_without_files() -> None:
    found = difference.compare(document(), document(), None)
    assert (found.units, found.privileged, found.files) == (None, None, None)
    assert not found


def test_packages_and_listeners() -> None:
    other = document(
        role="out",
        packages=[{"name": "postfix", "version": "1.1"}, {"name": "clamav", "version": "3"}],
        contract={"listeners": [22, 25, 587], "ports": [{"name": "smtp", "port": 25, "peers": "servers"}]},
    )
    found = difference.compare(document(), other, None)
    assert found
    assert found.facts.changed == {"role": ("mx", "out")}
    assert found.packages.added == {"clamav": "3"}
    assert found.packages.removed == {"libc6:amd64": "2"}
    assert found.packages.changed == {"postfix": ("1", "1.1")}
    assert found.listeners.added == {"587": "inside"}
    assert found.listeners.changed == {"25": ("for internet", "for servers")}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (FILE, []),
        (replace(FILE, mode=0o4755), ["mode 0644 -> 4755"]),
        (replace(FILE, uid=1, gid=2), ["owner 0:0 -> 1:2"]),
        (replace(FILE, size=6, mode=0o600), ["mode 0644 -> 0600", "size 5 -> 6"]),
        (replace(FILE, capabilities="cap_kill=ep"), ["capabilities none -> cap_kill=ep"]),
        (link("a"), ["file -> link"]),
    ],
)
def test_entry(other: Entry, words: list[str]) -> None:
    assert difference.entry_changes(FILE, other) == words


def test_files() -> None:
    empty = replace(FILE, size=0)
    a = {"/same": FILE, "/gone": FILE, "/content": FILE, "/longer": FILE, "/link": link("x"), "/empty": empty}
    b = {**a, "/new": FILE, "/longer": replace(FILE, size=9), "/link": link("y")}
    del b["/gone"]
    assert difference.to_read(a, b) == ["/content", "/same"]
    first = Snapshot(a, {"/same": "1", "/content": "2"}, {"/gone": "postfix"})
    second = Snapshot(b, {"/same": "1", "/content": "3"}, {"/new": "clamav", "/same": "clamav"})
    found = difference.file_changes(first, second)
    assert found.added == {"/new": FILE}
    assert found.removed == {"/gone": FILE}
    assert found.changed == {"/content": ("content",), "/longer": ("size 5 -> 9",), "/link": ("target x -> y",)}
    assert found.packages == {"/new": "clamav", "/gone": "postfix"}


def test_privileged() -> None:
    entries = {
        "/usr/bin/su": replace(FILE, mode=0o4755),
        "/usr/bin/both": replace(FILE, mode=0o6755, uid=3, gid=4, capabilities="cap_net_raw=ep"),
        "/var/mail": Entry("folder", 0o2775, 0, 8),
        "/lock": replace(FILE, mode=0o2644),
        "/plain": FILE,
    }
    found = difference.privileged(entries)
    assert found == {"/usr/bin/su": "setuid 0", "/usr/bin/both": "setuid 3, setgid 4, cap_net_raw=ep"}


def test_units() -> None:
    entries = {
        "/etc/systemd/system/multi-user.target.wants/postfix.service": link("/lib/systemd/system/postfix.service"),
        "/etc/systemd/system/sockets.target.requires/a.socket": link("/lib/systemd/system/a.socket"),
        "/etc/systemd/system/timers.target.wants/a.socket": link("/lib/systemd/system/a.socket"),
        "/etc/systemd/system/sshd.service": link("/lib/systemd/system/ssh.service"),
        "/etc/systemd/system/fstrim.timer": link("/dev/null"),
        "/etc/systemd/system/own.service": FILE,
        "/etc/rc3.d/S01old": link("../init.d/old"),
        "/etc/rc0.d/K01old": link("../init.d/old"),
        "/etc/rc3.d/S01postfix": link("../init.d/postfix"),
        "/usr/lib/systemd/system/postfix.service": FILE,
    }
    assert difference.enabled_units(entries) == {
        "postfix.service": "wanted by multi-user.target",
        "a.socket": "required by sockets.target, wanted by timers.target",
        "sshd.service": "another name of ssh.service",
        "fstrim.timer": "masked",
        "old.service": "started by its init script",
    }


def test_owners() -> None:
    info = "/var/lib/dpkg/info/"
    entries = {
        "/bin": link("usr/bin"),
        "/usr/bin/sh": FILE,
        "/usr/lib/python3/m.py": FILE,
        "/usr/lib/python3/__pycache__/m.cpython-311.pyc": FILE,
        "/usr/lib/other/__pycache__/m.cpython-311.pyc": FILE,
        f"{info}dash.list": FILE,
        f"{info}python3.11:amd64.postinst": FILE,
    }
    assert difference.owner_lists(entries) == [f"{info}dash.list"]
    found = difference.owners(entries, {f"{info}dash.list": "/.\n/bin\n/bin/sh\n/usr/lib/python3/m.py\n"})
    assert found["/usr/bin/sh"] == "dash"
    assert found["/usr/lib/python3/__pycache__/m.cpython-311.pyc"] == "dash"
    assert found[f"{info}python3.11:amd64.postinst"] == "python3.11:amd64"
    assert "/usr/lib/other/__pycache__/m.cpython-311.pyc" not in found


def test_tables() -> None:
    """Files of packages that differ are counted, the others told one by one; never more lines than wanted."""
    many = {f"/new{number}": FILE for number in range(5)}
    entries = {"/usr/bin/clam": FILE, "/link": link("x"), **many}
    files = (NO_FILES, Snapshot(entries, {}, {"/usr/bin/clam": "clamav"}))
    other = document(packages=[*document()["packages"], {"name": "clamav", "version": "3"}])
    console = Console(width=120)
    with console.capture() as said:
        for table in difference_tables(difference.compare(document(), other, files), 3):
            console.print(table)
    text = said.get()
    assert "files of packages that differ (1)" in text
    assert re.search(r"clamav +1 added", text)
    assert "/usr/bin/clam" not in text
    assert "other files (6)" in text
    assert "-> x" in text
    assert "... and 3 more (--limit 0 or --json shows all)" in text


def test_size_words() -> None:
    assert size_words("546590720") == "521.3 MiB"
    assert size_words("334") == "334"
    assert size_words("c" * 64) == "c" * 12


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", ""),
        ("0100000200040000000000000000000000000000", "cap_net_bind_service=ep"),
        ("0000000200200000002000000000000000000000", "cap_net_raw=ip"),
        ("010000020000000000000000" "0000008000000000", "cap_63=ep"),
        ("0100000300040000000000000000000000000000e8030000", "cap_net_bind_service=ep"),
        ("01000001", "unreadable 01000001"),
    ],
)
def test_capabilities(value: str, words: str) -> None:
    assert capability_words(bytes.fromhex(value)) == words


def test_tree(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o750)
    (tmp_path / "folder" / "a b").write_text("12345")
    (tmp_path / "folder" / "a b").chmod(0o640)
    (tmp_path / "link").symlink_to("/nowhere")
    files = TreeFiles(tmp_path)
    found = files.entries()
    assert sorted(found) == ["/folder", "/folder/a b", "/link"]
    assert (found["/folder/a b"].mode, found["/folder/a b"].size) == (0o640, 5)
    assert (found["/folder"].kind, found["/folder"].size) == ("folder", 0)
    assert found["/link"].target == "/nowhere"
    assert [(path, place.read_text()) for path, place in files.read(["/folder/a b"])] == [("/folder/a b", "12345")]


LISTING = """\
debugfs: ls -p <2>
/2/040755/0/0/.//
/2/040755/0/0/..//
/11/040700/0/0/lost+found//
/12/120777/0/0/bin/7/
/13/104755/1/2/a "b"/281624/

debugfs: ls -p <35>
/36/100644/0/0/empty/0/
"""


def test_listing() -> None:
    found = list(disktree.listed(LISTING, {2: "", 35: "/etc"}))
    assert found == [
        ("/bin", 12, Entry("link", 0o777, 0, 0)),
        ('/a "b"', 13, Entry("file", 0o4755, 1, 2, 281624)),
        ("/etc/empty", 36, Entry("file", 0o644, 0, 0)),
    ]


def test_listing_that_cannot_be_understood() -> None:
    with pytest.raises(StepError, match=r"debugfs lists '/1/name', which cannot be understood"):
        list(disktree.listed("debugfs: ls -p <2>\n/1/name\n", {2: ""}))


STAT = """\
debugfs: stat <12>
Inode: 12   Type: symlink    Mode:  0777   Flags: 0x0
Size of extra inode fields: 32
Fast link dest: "usr/bin"
debugfs: stat <13>
Inode: 13   Type: regular    Mode:  0755   Flags: 0x80000
Extended attributes:
  security.capability (20) = 01 00 00 02 00 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00
Inode checksum: 0x53982b79
EXTENTS:
"""


def test_details() -> None:
    assert disktree.details(STAT) == {12: ("usr/bin", ""), 13: ("", "cap_net_bind_service=ep")}


def test_a_difference_is_json() -> None:
    from dataclasses import asdict

    files = (NO_FILES, Snapshot({"/a": FILE}, {}, {}))
    text = json.dumps(asdict(difference.compare(document(), document(), files)))
    assert json.loads(text)["files"]["added"]["/a"]["mode"] == 0o644
