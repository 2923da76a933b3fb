"""The stand-in's base image: a tree of Debian programs that says it is CentOS 7, with a real RPM database, on XFS.

Needs root, mount and process namespaces, loop devices and XFS in the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mailimg import apt, process

HERE = Path(__file__).resolve().parent
SUITES = ("bookworm", "bookworm-updates", "bookworm-security")
# Beside Debian's essential packages.
DEBIAN = (
    "bzip2", "ca-certificates", "cpio", "curl", "dbus", "dnf", "e2fsprogs", "gpg", "gpg-agent", "iproute2", "kmod",
    "less", "openssl", "policycoreutils", "procps", "python3", "python3-cryptography", "python3-jinja2",
    "python3-jsonschema", "python3-yaml", "rpm", "selinux-utils", "sudo", "systemd", "systemd-sysv", "tzdata",
    "xz-utils",
)
EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/lintian/*", "/usr/share/locale/*", "/usr/share/man/*")
# GenericCloud's own: 8 GiB, one partition from the first MiB on.
DISK_BYTES = 8 << 30
OFFSET = 1 << 20
# What the kernel 3.10 of CentOS 7 can mount: xfsprogs 4.5 knew none of these.
XFS = ("-m", "crc=1,finobt=0,reflink=0,rmapbt=0,bigtime=0,inobtcount=0", "-i", "sparse=0")
# The accounts of setup-2.8.71, from memory; numbers that matter are checked by the packages that make them.
PASSWD = (
    "root:x:0:0:root:/root:/bin/bash", "bin:x:1:1:bin:/bin:/sbin/nologin",
    "daemon:x:2:2:daemon:/sbin:/sbin/nologin",
    "adm:x:3:4:adm:/var/adm:/sbin/nologin", "lp:x:4:7:lp:/var/spool/lpd:/sbin/nologin",
    "sync:x:5:0:sync:/sbin:/bin/sync",
    "mail:x:8:12:mail:/var/spool/mail:/sbin/nologin", "operator:x:11:0:operator:/root:/sbin/nologin",
    "games:x:12:100:games:/usr/games:/sbin/nologin", "ftp:x:14:50:FTP User:/var/ftp:/sbin/nologin",
    "nobody:x:99:99:Nobody:/:/sbin/nologin", "systemd-network:x:192:192:systemd Network Management:/:/sbin/nologin",
    "dbus:x:81:81:System message bus:/:/sbin/nologin", "messagebus:x:981:81:Debian's name of dbus:/:/sbin/nologin",
)
GROUPS = {
    "root": 0, "bin": 1, "daemon": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "lp": 7, "mem": 8, "kmem": 9,
    "wheel": 10, "cdrom": 11, "mail": 12, "man": 15, "dialout": 18, "floppy": 19, "games": 20, "tape": 33, "utmp": 22,
    "video": 39, "ftp": 50, "lock": 54, "audio": 63, "nobody": 99, "users": 100, "utempter": 35, "input": 999,
    "dbus": 81, "systemd-network": 192,
}


def bootstrap(target: Path) -> None:
    """Make a tar archive of a Debian tree, with the build host's own package sources."""
    found = apt.sources(SUITES, "main", None)
    # Beside it, not in it: proxies of the build host are nobody's business.
    conf = target.with_suffix(".apt.conf")
    conf.write_text("\n".join(found.conf) + "\n", encoding="utf-8")
    process.run(
        ["mmdebstrap", "--variant=essential", "--format=tar", f"--include={','.join(DEBIAN)}", f"--aptopt={conf}",
         '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"',
         *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED), SUITES[0], target, "-"],
        what="bootstrap the stand-in's Debian tree", timeout=600,
        stdin="".join(f"{archive.line}\n" for archive in found.archives).encode(),
    )
    conf.unlink()


def make_image(target: Path, debian: Path, rpms: Sequence[Path], authority: Path, work: Path) -> None:
    """Make the qcow2.

    Args:
        debian: what `bootstrap` made.
        rpms: the packages that the image has installed.
        authority: certificate that the image trusts.
        work: an empty folder.
    """
    chosen = work / "rpms"
    chosen.mkdir()
    for path in rpms:
        os.link(path, chosen / path.name)
    (work / "passwd").write_text("\n".join(PASSWD) + "\n", encoding="utf-8")
    (work / "group").write_text("".join(f"{name}:x:{number}:\n" for name, number in GROUPS.items()), encoding="utf-8")
    disk = work / "disk.raw"
    empty_disk(disk)
    process.run(
        process.confine(["bash", str(HERE / "base.sh"), *map(str, (debian, chosen, authority, work, disk, OFFSET))]),
        what="fill the stand-in's base image", timeout=600,
    )
    process.run(["qemu-img", "convert", "-c", "-m", "4", "-W", "-f", "raw", "-O", "qcow2", disk, target],
                what="write the stand-in's base image", timeout=600)
    disk.unlink()


def empty_disk(disk: Path) -> None:
    """Write a raw disk with one partition that holds an empty XFS; no loop device is needed for it."""
    with disk.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    table = f"label: dos\nlabel-id: 0x000a1b2c\nstart={OFFSET // 512}, type=83, bootable\n"
    process.run(["sfdisk", "--quiet", disk], what="write a partition table", timeout=60, stdin=table.encode())
    partition = disk.with_suffix(".xfs")
    with partition.open("wb") as stream:
        stream.truncate(DISK_BYTES - OFFSET)
    process.run(["mkfs.xfs", "-q", *XFS, partition], what="make an XFS", timeout=60)
    with partition.open("rb") as source, disk.open("r+b") as sink:
        for start, length in data(source.fileno()):
            sink.seek(OFFSET + start)
            sink.write(os.pread(source.fileno(), length, start))
    partition.unlink()


def data(number: int) -> list[tuple[int, int]]:
    """Where a sparse file has data: offsets and lengths in bytes."""
    found = []
    end, size = 0, os.fstat(number).st_size
    while end < size:
        try:
            start = os.lseek(number, end, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(number, start, os.SEEK_HOLE)
        found.append((start, end - start))
    return found
