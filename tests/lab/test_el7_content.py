"""Every role for centos-7, built from base image to qcow2 against the stand-in, and what is in the result.

Nothing here boots: the stand-in's programs are not CentOS's. `make verify-centos7` boots the real thing.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import oldest_python
import pytest
import yaml
from el7_site import MAILIMG, El7

from mailimg import process
from mailimg.resources import installed
from mailimg.roles import load_distro, load_role

pytestmark = pytest.mark.lab

ROLES = ("nfs", "pop-imap-lda", "smtp-in", "smtp-out", "sogo")
DISTRO = load_distro(installed(), "centos-7")
# What e2fsprogs 1.42.9 and kernel 3.10 know (e2fsprogs v1.42.9, lib/ext2fs/ext2fs.h).
KNOWN_FEATURES = {"has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "flex_bg",
                  "sparse_super", "large_file", "huge_file", "uninit_bg", "dir_nlink", "extra_isize"}
# One mirror refuses a list of packages and a package: both must come from the next.
REFUSED = ("/one/*epel*/repodata/*primary*", "/one/*/Packages/*dovecot*")


@pytest.fixture(scope="module")
def built(el7: El7) -> El7:
    """All five roles in one run."""
    for pattern in REFUSED:
        el7.server.faults.answer(pattern, 403)
    try:
        done = el7.build("--all", "--json", *el7.sogo(), elements=el7.element())
    finally:
        el7.server.faults.clear()
    assert done.returncode == 0, done.stderr
    assert sorted(one["role"] for one in json.loads(done.stdout)) == sorted(ROLES)
    return el7


def test_what_one_mirror_refuses_comes_from_the_next(built: El7) -> None:
    for part in ("primary", "dovecot"):
        answers = {(path.split("/")[1], status) for _, path, status in built.server.asked(part)}
        assert ("one", 403) in answers, part
        assert ("two", 200) in answers, part


def inside(tree: Path, *command: str) -> str:
    """What a program of the tree prints; the tree is not changed, whatever the program writes."""
    layers = f"lowerdir={tree},upperdir=/run/mailimg/upper,workdir=/run/mailimg/work"
    script = ("mount -t tmpfs tmpfs /run; mkdir -p /run/mailimg/{upper,work,root};"
              f" mount -t overlay -o {layers} overlay /run/mailimg/root; mount -t proc proc /run/mailimg/root/proc;"
              ' exec chroot /run/mailimg/root "$@"')
    argv = ["unshare", "--mount", "bash", "-euc", script, "bash", *command]
    return process.run(argv, what="run it in the tree", timeout=120).stdout


def wanted_packages(role: str) -> set[str]:
    """RPM names that a role's elements ask for, read from their own files."""
    found = set()
    shipped = installed().elements
    todo = [name for layer in load_role(installed(), role).layers for name in layer.elements]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or not (shipped / name).is_dir():
            continue
        seen.add(name)
        folder = shipped / name
        todo += (folder / "element-deps").read_text().split() if (folder / "element-deps").exists() else []
        if (folder / "package-installs.yaml").exists():
            named = yaml.safe_load((folder / "package-installs.yaml").read_text())
            known = json.loads((folder / "pkg-map").read_text()) if (folder / "pkg-map").exists() else {}
            names = {**known.get("default", {}), **known.get("family", {}).get("redhat", {})}
            for package in named:
                found |= set(names.get(package, package).split())
    return found


@pytest.mark.parametrize("role", ROLES)
def test_every_package_that_was_asked_for_is_there_and_listed(built: El7, role: str) -> None:
    listed = {package["name"]: package for package in built.manifest(role)["packages"]}
    wanted = wanted_packages(role)
    assert len(wanted) > 10
    assert wanted - set(listed) == set()
    assert listed["kernel"]["version"].startswith("3.10.0-1160.")
    assert built.manifest(role)["package_manager"] == "yum"
    inside(built.tree(role), "rpm", "--query", *sorted(wanted))


def enabled(tree: Path) -> set[str]:
    """Units that something starts at boot."""
    return {path.name for path in (tree / "etc/systemd/system").glob("*.wants/*")}


@pytest.mark.parametrize("role", ROLES)
def test_the_agent_starts_the_daemons_and_nothing_else_does(built: El7, role: str) -> None:
    tree = built.tree(role)
    document = json.loads((tree / "etc/mailimg/role.json").read_text())
    units = {service["unit"] for service in document["services"]}
    started = enabled(tree)
    assert "mailimg-firstboot.service" in started
    assert units & started == set()
    assert not {unit for unit in started if re.match(r"NetworkManager|firewalld|rpcbind|postfix|clam", unit)}
    for unit in units:
        names = (unit, re.sub("@.*[.]", "@.", unit))
        places = [tree / folder / name for folder in ("usr/lib/systemd/system", "etc/systemd/system") for name in names]
        assert any(path.is_file() for path in places), f"{unit} is no unit of the image"


@pytest.mark.parametrize("role", ROLES)
def test_packages_come_from_the_named_places_only(built: El7, role: str) -> None:
    folder = built.tree(role) / "etc/yum.repos.d"
    names = {"mailimg-base.repo", "mailimg-updates.repo", "mailimg-extras.repo", "mailimg-epel.repo"}
    names |= {"mailimg-sogo.repo"} if role == "sogo" else set()
    assert {path.name for path in folder.iterdir()} == names
    for path in folder.iterdir():
        text = path.read_text()
        assert "gpgcheck=1" in text
        assert "sslcacert=/etc/pki/tls/certs/mailimg-mirror.pem" in text
        assert not re.search(r"mirrorlist|metalink|http://", text)
    assert built.server.url("base", "one") in (folder / "mailimg-base.repo").read_text()
    assert built.server.url("base", "two") in (folder / "mailimg-base.repo").read_text()


LEFTOVERS = (
    "etc/pki/dovecot/certs/dovecot.pem",
    "etc/pki/dovecot/private/dovecot.pem",
    "etc/pki/tls/private/localhost.key",
    "etc/pki/tls/certs/localhost.crt",
    "etc/opendkim/keys/*",
    "etc/ssh/ssh_host_*",
    "var/lib/dovecot/ssl-parameters.dat",
    "var/lib/systemd/random-seed",
    "var/lib/cloud/*",
    "var/lib/mysql/*",
    "root/.bash_history",
    "root/*.cfg",
    "var/lib/rpm/__db.*",
    "var/cache/yum/*",
    "usr/local/lib/mailimg-yum",
    "etc/cron.d/clamav-update",
)


@pytest.mark.parametrize("role", ROLES)
def test_no_key_and_no_trace_is_in_the_tree(built: El7, role: str) -> None:
    tree = built.tree(role)
    assert [str(path.relative_to(tree)) for pattern in LEFTOVERS for path in tree.glob(pattern)] == []
    assert (tree / "etc/machine-id").read_text() == "uninitialized\n"
    assert [str(path) for path in (tree / "var/log").rglob("*") if path.is_file()] == []
    private = re.compile(rb"-----BEGIN (RSA |EC |OPENSSH |)PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{100}")
    assert [str(path.relative_to(tree)) for path in files(tree / "etc") if private.search(path.read_bytes())] == []


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@pytest.mark.parametrize("role", ROLES)
def test_the_agent_renders_in_the_tree_what_the_golden_files_say(built: El7, role: str) -> None:
    """By the tree's own interpreter, from role.json and templates as the image has them."""
    tree = built.tree(role)
    example = installed().roles / role / "example"
    work = built.folder / f"render-{role}"
    work.mkdir()
    (work / "site.yaml").write_bytes((example / "site.yaml").read_bytes())
    argv = ["chroot", str(tree), "/usr/sbin/mailimg-firstboot", "render", "--site", "/mnt/site.yaml", "--output",
            "/mnt/out", "--hostname", "node-1", "--instance", "11111111-2222-4333-8444-555555555555"]
    script = f'mount --bind {work} {tree}/mnt && mount -t proc proc {tree}/proc && exec "$@"'
    process.run(["unshare", "--mount", "bash", "-euc", script, "bash", *argv], what="render", timeout=120)
    golden = example / "golden" / "centos-7"
    rendered = {str(path.relative_to(work / "out")): path.read_bytes() for path in files(work / "out")}
    expected = {str(path.relative_to(golden)): path.read_bytes() for path in files(golden) if path.name != "FILES"}
    assert rendered == expected


@pytest.fixture(scope="module", params=ROLES)
def disk(request: pytest.FixtureRequest, built: El7) -> Iterator[Path]:
    """A role's image as a raw disk."""
    raw = built.folder / "disk.raw"
    convert = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", built.image(request.param), raw]
    process.run(convert, what="unpack the image", timeout=300)
    yield raw
    raw.unlink()


def ask(disk: Path, request: str) -> str:
    """What debugfs says of the disk's root file system."""
    return process.run(["debugfs", "-R", request, f"{disk}?offset={1024**2}"], what="read", timeout=60).stdout


def test_the_disk_is_one_that_centos_7_boots_from(disk: Path) -> None:
    told = process.run(["dumpe2fs", "-h", f"{disk}?offset={1024**2}"], what="ask", timeout=60).stdout
    features = next(line.split(":")[1].split() for line in told.splitlines() if line.startswith("Filesystem features"))
    assert set(features) <= KNOWN_FEATURES
    uuid = next(line.split()[-1] for line in told.splitlines() if line.startswith("Filesystem UUID"))
    with disk.open("rb") as file:
        sector = file.read(512)
    assert sector[510:] == b"\x55\xaa"
    active, kind, start = sector[446], sector[450], struct.unpack("<I", sector[454:458])[0]
    assert (active, kind, start) == (0x80, 0x83, 2048)
    assert sector[462:510] == bytes(48), "more than one partition"
    assert ask(disk, "cat /etc/fstab") == f"UUID={uuid} / ext4 defaults,errors=remount-ro 0 1\n"
    config = ask(disk, "cat /boot/grub2/grub.cfg")
    assert f"search --no-floppy --fs-uuid --set=root {uuid}" in config
    assert f"linux /boot/vmlinuz root=UUID={uuid} ro " in config
    assert "net.ifnames=0" in config
    assert "system_u:object_r:etc_t:s0" in ask(disk, "ea_get /etc/passwd security.selinux")


def test_the_kernel_finds_its_disk(built: El7) -> None:
    tree = built.tree("nfs")
    image = (tree / "boot/vmlinuz").readlink().name
    version = image.removeprefix("vmlinuz-")
    assert (tree / "boot" / f"initramfs-{version}.img").is_file()
    assert (tree / "boot/initramfs.img").readlink().name == f"initramfs-{version}.img"
    assert len(list((tree / "boot").glob("vmlinuz-*"))) == 1, "old kernels are left"
    names = inside(tree, "lsinitrd", f"/boot/initramfs-{version}.img")
    for driver in ("virtio_blk", "virtio_scsi", "virtio_pci", "virtio_net", "ext4"):
        assert driver in names


@pytest.mark.parametrize("role", ROLES)
def test_the_image_is_a_qcow2_that_old_hosts_read(built: El7, role: str) -> None:
    told = process.run(["qemu-img", "info", "--output=json", built.image(role)], what="ask", timeout=60).stdout
    facts = json.loads(told)
    assert facts["format"] == "qcow2"
    assert facts["format-specific"]["data"]["compression-type"] == "zlib"


@pytest.mark.parametrize("role", ROLES)
def test_the_agent_is_compiled_by_the_trees_interpreter(built: El7, role: str) -> None:
    tree = built.tree(role)
    compiled = list((tree / "usr/lib/mailimg/mailimg_firstboot/__pycache__").glob("*.pyc"))
    assert len(compiled) > 20
    tag = inside(tree, "python3", "-c", "import sys; print(sys.implementation.cache_tag)").strip()
    assert all(path.name.endswith(f".{tag}.pyc") for path in compiled)


def vendored() -> set[str]:
    """Names and versions that element mailimg-agent-deps pins for CentOS 7."""
    pins = (installed().elements / "mailimg-agent-deps/requirements-centos-7.txt").read_text()
    return {line.split()[0] for line in pins.splitlines() if line and not line.startswith("#")}


def test_the_agent_has_the_libraries_that_no_repository_has(built: El7) -> None:
    libraries = built.tree("nfs") / "usr/lib/mailimg/libraries"
    found = {path.name.removesuffix(".dist-info").replace("-", "==").replace("_", "-")
             for path in libraries.glob("*.dist-info")}
    assert found == vendored()
    # What runs under a real Python 3.6 in test_cloud_oldest.py is what is in the image.
    assert found <= {*oldest_python.LIBRARIES, *oldest_python.PYTEST, *oldest_python.KEYSTONEAUTH}
    assert (libraries / "keystoneauth1/session.py").is_file()
    assert list((libraries / "keystoneauth1/__pycache__").glob("session.*.pyc"))


def test_a_server_of_mailboxes_mounts_and_does_not_listen_for_it(built: El7) -> None:
    tree = built.tree("pop-imap-lda")
    for unit in ("rpcbind.socket", "rpcbind.service", "rpc-statd.service", "gssproxy.service", "nfs-blkmap.service"):
        assert (tree / "etc/systemd/system" / unit).readlink() == Path("/dev/null"), unit
    assert not [path for path in (tree / "etc/systemd/system").glob("*.wants/*") if "nfs" in path.name]
    assert not (tree / "usr/sbin/mount.nfs").stat().st_mode & 0o4000
    mount_point = (tree / "MAILBOXES").stat()
    assert (mount_point.st_uid, mount_point.st_mode & 0o7777) == (0, 0)


def test_cloud_and_network_as_the_old_tools_want_them(built: El7) -> None:
    tree = built.tree("smtp-in")
    assert "BOOTPROTO=dhcp" in (tree / "etc/sysconfig/network-scripts/ifcfg-eth0").read_text()
    assert "NOZEROCONF=yes" in (tree / "etc/sysconfig/network").read_text()
    # Read last, so what it lists is what runs: names that cloud-init 19.4 has.
    last = yaml.safe_load(max((tree / "etc/cloud/cloud.cfg.d").glob("*.cfg")).read_text())
    assert "write-files-deferred" not in last["cloud_final_modules"]
    assert last["system_info"]["default_user"]["name"] == DISTRO.login
    assert re.search(r"^SELINUX=permissive$", (tree / "etc/selinux/config").read_text(), re.MULTILINE)
    assert not list(tree.glob("usr/lib/systemd/system/NetworkManager*"))


def test_a_container_is_refused_with_the_way_that_works(built: El7) -> None:
    argv = [MAILIMG, "verify", str(built.image("nfs")), "--by", "nspawn", "--store", str(built.store)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Boot the image itself: --by qemu."


def test_nothing_changed_builds_nothing(built: El7) -> None:
    done = built.build("--all", "--json", *built.sogo(), elements=built.folder / "elements")
    assert done.returncode == 0, done.stderr
    assert all(one["unchanged"] for one in json.loads(done.stdout))
