"""Programs of the host that a verification starts, with the Debian package of each (for `mailimg doctor`)."""

from __future__ import annotations

from collections.abc import Mapping

# Programs of a domain controller (`mailimg.peers.domain`).
DOMAIN: Mapping[str, str] = {
    "samba": "samba",
    "samba-tool": "samba-common-bin",
    "ldbadd": "ldb-tools",
    "winbindd": "winbind",
}
# What it needs besides: modules and texts.
DOMAIN_FILES: Mapping[str, str] = {
    "/usr/lib/x86_64-linux-gnu/samba/ldb": "samba-dsdb-modules",
    "/usr/lib/x86_64-linux-gnu/samba/vfs/acl_xattr.so": "samba-vfs-modules",
    "/usr/share/samba/setup/ad-schema": "samba-ad-provision",
}

COMMON: Mapping[str, str] = {
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "slapd": "slapd",
    "slapadd": "slapd",
    "dnsmasq": "dnsmasq-base",
    **DOMAIN,
}

BACKENDS: Mapping[str, Mapping[str, str]] = {
    "qemu": {
        **COMMON,
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "genisoimage": "genisoimage",
    },
    "nspawn": {**COMMON, "systemd-nspawn": "systemd-container"},
}

# What a lab needs beside both backends.
LAB: Mapping[str, str] = {"haproxy": "haproxy", "nsenter": "util-linux"}

# A browser that programs drive: both halves come from one source package, so they fit each other.
BROWSER: Mapping[str, str] = {"chromium": "chromium", "chromedriver": "chromium-driver", "certutil": "libnss3-tools"}

# Programs that `mailimg.disk` starts; the modules of GRUB are looked up when they are needed.
DISK: Mapping[str, str] = {
    "sfdisk": "fdisk",
    "mke2fs": "e2fsprogs",
    "grub-mkimage": "grub-common",
    "qemu-img": "qemu-utils",
}
DISK_UEFI: Mapping[str, str] = {"mkfs.vfat": "dosfstools", "mmd": "mtools", "mcopy": "mtools"}
