"""The agent's eyes and hands on real things: blkid and mkfs on files, HTTP on loopback."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailimg_firstboot import probes
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.steps import volume

pytestmark = pytest.mark.lab

MIB = 1 << 20
SIZE = 64 * MIB
DISK = "/disk"
SERIAL = "a-serial-of-a-volume"

# What may stand on a volume that is not ours, and how it gets there.
CONTENTS = {
    "ext4 of somebody": ["mkfs.ext4", "-q", "-F", "-L", "home"],
    "ext4 without a label": ["mkfs.ext4", "-q", "-F"],
    "swap": ["mkswap"],
    "a FAT file system": ["mkfs.vfat"],
    "a partition table": ["sh", "-c", "echo ',,L' | sfdisk -q --label gpt $0"],
    "a byte at its begin": ["sh", "-c", "printf x | dd of=$0 conv=notrunc status=none"],
    "a byte in its first MiB": ["sh", "-c", f"printf x | dd of=$0 bs=1 seek={MIB - 1} conv=notrunc status=none"],
    "a byte at its end": ["sh", "-c", f"printf x | dd of=$0 bs=1 seek={SIZE - 1} conv=notrunc status=none"],
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    with (tmp_path / "disk").open("wb") as stream:
        stream.truncate(SIZE)
    return Host(str(tmp_path))


def disk(host: Host) -> Path:
    return host.path(DISK)


def run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def test_a_blank_volume_becomes_ours(host: Host) -> None:
    volume.prepare(host, DISK, SERIAL)
    assert host.disks.probe(DISK)["LABEL"] == volume.LABEL
    assert host.disks.probe(DISK)["TYPE"] == "ext4"
    assert volume.filesystem_size(host.disks.read(DISK, 0, MIB)) == SIZE
    assert volume.MARK not in disk(host).read_bytes(), "the mark is gone when the filesystem is whole"
    run("fsck.ext4", "-fn", disk(host))
    before = disk(host).read_bytes()
    volume.prepare(host, DISK, SERIAL)
    assert disk(host).read_bytes() == before, "formatted once"


@pytest.mark.parametrize("what", CONTENTS)
def test_what_is_not_blank_is_refused_and_not_touched(host: Host, what: str) -> None:
    run(*CONTENTS[what], disk(host))
    before = disk(host).read_bytes()
    with pytest.raises(StepError, match=rf"volume {SERIAL} \(/disk\) is not blank and not ours: "):
        volume.prepare(host, DISK, SERIAL)
    assert disk(host).read_bytes() == before


def test_two_kinds_of_content_are_refused(host: Host) -> None:
    """blkid cannot decide: the descriptor of a CD inside of what is labelled as ours."""
    run("mkfs.ext4", "-q", "-F", "-L", volume.LABEL, disk(host))
    host.disks.write(DISK, 32768, b"\x01CD001\x01\0")
    before = disk(host).read_bytes()
    with pytest.raises(StepError, match="look at /disk: blkid ended with status 8"):
        volume.prepare(host, DISK, SERIAL)
    assert disk(host).read_bytes() == before


def test_formatting_that_was_cut_off_is_begun_again(host: Host) -> None:
    """After the mark; and with half of a filesystem."""
    host.disks.write(DISK, SIZE - volume.MARK_OFFSET, volume.MARK)
    host.disks.write(DISK, 1024, b"half of a superblock")
    volume.prepare(host, DISK, SERIAL)
    assert host.disks.probe(DISK)["LABEL"] == volume.LABEL
    assert volume.MARK not in disk(host).read_bytes()


def test_the_mark_outlives_formatting(host: Host) -> None:
    """mkfs leaves its place alone: a run that ends before the mark is wiped never takes half for whole."""
    host.disks.write(DISK, SIZE - volume.MARK_OFFSET, volume.MARK)
    host.disks.format(DISK, volume.LABEL)
    assert host.disks.read(DISK, SIZE - volume.MARK_OFFSET, len(volume.MARK)) == volume.MARK


def test_a_grown_disk_is_noticed(host: Host) -> None:
    volume.prepare(host, DISK, SERIAL)
    with disk(host).open("r+b") as stream:
        stream.truncate(SIZE + volume.SLACK)
    used = volume.filesystem_size(host.disks.read(DISK, 0, MIB))
    assert host.disks.size(DISK) - used >= volume.SLACK
    run("e2fsck", "-fy", disk(host))
    host.disks.grow(DISK)
    assert volume.filesystem_size(host.disks.read(DISK, 0, MIB)) == SIZE + volume.SLACK


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "words"), [
    (200, None), (302, None), (401, "GET /401 was answered with 401"), (503, "GET /503 was answered with 503")])
def test_http(web: int, status: int, words: str | None) -> None:
    assert probes.http(web, f"/{status}", tls=False) == words


def test_http_where_nobody_answers() -> None:
    from mailimg_firstboot.rolefile import HealthCheck

    assert "no answer: Connection refused" in (probes.probe(HealthCheck("http", "x", 1, "/")) or "")
