"""The stand-in for CentOS 7 itself: real packages, real signatures, real XFS."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path

import pytest
import standin
from standin import archive, inside, packages, server

from mailimg import process

pytestmark = pytest.mark.lab

MIB = 1 << 20


def rpm(stand_in: standin.StandIn, name: str) -> Path:
    """The file of a package."""
    return next(stand_in.archive_root.rglob(f"{name}-[0-9]*.rpm"))


# The image.


def test_the_image_has_one_xfs_that_the_kernel_of_centos_7_could_mount(tree: inside.Tree) -> None:
    told = process.run(["sfdisk", "--json", tree.raw], what="read", timeout=60).stdout
    table = json.loads(told)["partitiontable"]
    assert (table["label"], [part["type"] for part in table["partitions"]]) == ("dos", ["83"])
    with tree.raw.open("rb") as stream:
        stream.seek(tree.offset)
        superblock = stream.read(512)
    # xfs_format.h: magic, at 208 the features: compatible, read-only compatible, incompatible (1 is ftype).
    assert superblock[:4] == b"XFSB"
    assert struct.unpack(">III", superblock[208:220]) == (0, 0, 1)


def test_the_image_is_small_and_its_sum_is_right(stand_in: standin.StandIn) -> None:
    assert stand_in.bytes < 400 * MIB
    assert hashlib.sha256(stand_in.base_image.read_bytes()).hexdigest() == stand_in.sha256


def test_the_tree_says_what_it_is_and_hides_debian(tree: inside.Tree) -> None:
    script = """
        cat /etc/centos-release /etc/mailimg-stand-in
        . /etc/os-release && echo "$ID $VERSION_ID"
        for name in apt dpkg dnf python3 update-rc.d adduser; do command -v $name; done
        id centos
        test ! -e /var/lib/dpkg && echo no dpkg
    """
    assert tree.run(script).stdout.splitlines() == [
        "CentOS Linux release 7.9.2009 (Core)",
        "A stand-in for CentOS 7, made of Debian programs for tests of mailimg.",
        "centos 7",
        "no dpkg",
    ]


def test_the_database_knows_every_package_and_all_files_have_owners(tree: inside.Tree) -> None:
    names = packages.read()[1]
    script = f"""
        rpm -q {' '.join(names)} > /dev/null && echo all there
        rpm -Va --nomtime
        find / -xdev \\( -nouser -o -nogroup -o -name "*.rpm[nos]*" \\)
    """
    assert tree.run(script).stdout.splitlines() == ["all there"]


def test_what_genericcloud_leaves_is_there_to_be_removed(tree: inside.Tree) -> None:
    paths = ["/etc/ssh/ssh_host_rsa_key", "/etc/sysconfig/network-scripts/ifcfg-eth0", "/boot/grub2/grub.cfg",
             "/var/lib/systemd/random-seed", "/root/.bash_history", "/etc/machine-id", "/var/log/messages"]
    assert tree.run(f"ls -d {' '.join(paths)}").stdout.split() == sorted(paths)
    assert "UUID=1c419d6c" in tree.run("cat /boot/grub2/grub.cfg").stdout
    assert "example.invalid" in tree.run("cat /etc/yum.repos.d/CentOS-Base.repo").stdout


def test_presets_decide_what_is_enabled(tree: inside.Tree) -> None:
    script = "systemctl is-enabled postfix sshd nfs-server rpcbind.socket; chkconfig network && echo network"
    assert tree.run(script).stdout.split() == ["enabled", "enabled", "disabled", "enabled", "network"]


def test_labels_are_set_by_the_real_setfiles(tree: inside.Tree) -> None:
    script = """
        # setfiles stays on one file system, and a file's own number shows through this overlay.
        mount -t tmpfs tmpfs /mnt && cp -a --parents /etc/shadow /etc/yum.conf /usr/bin/yum /mnt
        setfiles -F -r /mnt /etc/selinux/targeted/contexts/files/file_contexts /mnt
        stat -c %C /mnt/etc/shadow /mnt/etc/yum.conf /mnt/usr/bin/yum
    """
    kinds = [line.split(":")[2] for line in tree.run(script).stdout.split()]
    assert kinds == ["shadow_t", "etc_t", "usr_t"]


# Packages and signatures.


def test_a_signature_holds_with_its_key_and_no_other(stand_in: standin.StandIn, tmp_path: Path) -> None:
    def check(name: str, key: str) -> int:
        database = str(tmp_path / key)
        tool = ["rpmkeys", "--dbpath", database]
        process.run([*tool, "--import", stand_in.keys[key].public], what="import", timeout=60)
        return process.run([*tool, "--checksig", rpm(stand_in, name)], what="check", timeout=60, check=False).returncode

    assert check("postfix", "centos") == 0
    assert check("postfix", "epel") != 0
    assert check("amavis", "epel") == 0
    assert check("sogo", "sogo") == 0
    # key_package of EPEL comes from a repository whose key is in the image already.
    assert check("epel-release", "centos") == 0


def test_a_package_has_the_real_name_version_and_needs(stand_in: standin.StandIn) -> None:
    def ask(question: str) -> str:
        return process.run(["rpm", "-qp", "--nosignature", *question.split(), rpm(stand_in, "postfix")],
                           what="ask", timeout=60).stdout

    assert ask("--queryformat %{NEVRA}") == "postfix-2:2.10.1-9.el7.x86_64"
    assert "mariadb-libs" in ask("--requires").split()
    assert "groupadd -r -g 90 postdrop" in ask("--scripts")
    assert "/etc/postfix/main.cf" in ask("--configfiles").split()


def test_yum_installs_everything_with_signatures_over_https(
    tree: inside.Tree, stand_in: standin.StandIn, served: server.Server
) -> None:
    names = sorted({package.name for package in packages.read()[0]})
    script = f"""
        yum -y install {' '.join(names)} > /tmp/log 2>&1 || cat /tmp/log
        rpm -q {' '.join(names)} > /dev/null && echo all there
        rpm -Va --nomtime --noconfig
        find / -xdev \\( -nouser -o -nogroup \\)
        id -u postfix dovecot apache mysql 2>&1; id -nG clamscan; id -gn amavis sogo opendkim 2>&1
        for name in postfix dovecot apache mysql; do id -u $name; done
        for name in clamscan amavis sogo opendkim; do id -nG $name; done
        stat -c '%a %U:%G' /etc/sogo/sogo.conf /var/spool/amavisd /etc/freshclam.conf
        ls /etc/pki/dovecot/private/dovecot.pem /etc/pki/tls/private/localhost.key /etc/opendkim/keys/default.private
        systemctl is-enabled dovecot httpd sogod mariadb
        python3 -c 'import yaml, jinja2, jsonschema; jsonschema.validate(1, dict(type="integer")); print("modules")'
    """
    ended = tree.run(script, inside.files(stand_in, inside.repositories(served)))
    told = ended.stdout.splitlines()
    assert told[0] == "all there", ended.stdout + ended.stderr
    for line in ("89", "97", "48", "27", "640 root:sogo", "750 amavis:amavis", "600 root:root",
                 "clamscan virusgroup", "/etc/opendkim/keys/default.private", "modules"):
        assert line in told
    assert told.count("disabled") == 4
    assert {status for _, _, status in served.requests} == {200}


def test_modules_of_python_come_with_their_packages_only(
    tree: inside.Tree, stand_in: standin.StandIn, served: server.Server
) -> None:
    script = """
        yum -y -q install python3 > /dev/null && python3 -c 'print("interpreter")'
        python3 -c 'import yaml'
        yum -y -q install python36-PyYAML > /dev/null && python3 -c 'import yaml; print(yaml.safe_load("[1]"))'
    """
    ended = tree.run(script, inside.files(stand_in, inside.repositories(served)))
    assert ended.stdout.split() == ["interpreter", "[1]"]
    assert "No module named 'yaml'" in ended.stderr


def test_an_unknown_name_does_not_stop_yum(
    tree: inside.Tree, stand_in: standin.StandIn, served: server.Server
) -> None:
    ended = tree.run("yum -y install nosuch arj; echo $?; rpm -q nosuch arj", inside.files(
        stand_in, inside.repositories(served)))
    assert ended.stdout.splitlines()[-3:] == ["0", "package nosuch is not installed", "arj-3.10.22-22.el7.x86_64"]


def test_a_package_that_goes_takes_its_units_and_folders(tree: inside.Tree) -> None:
    script = """
        rpm --erase --nodeps NetworkManager postfix kernel && rpm -q kernel
        find /etc/systemd /usr/lib/{systemd,modules} -name '*postfix*' -o -name 'NetworkManager*' -o -name '*.el7*'
    """
    assert tree.run(script).stdout.splitlines() == ["package kernel is not installed"]


def test_a_kernel_comes_beside_the_old_one_with_an_initramfs(
    tree: inside.Tree, stand_in: standin.StandIn, served: server.Server
) -> None:
    hook = "#!/bin/bash\necho \"$*\" > /tmp/hook\n"
    new = "3.10.0-1160.119.1.el7.x86_64"
    script = f"""
        chmod 0755 /etc/kernel/postinst.d/50-test
        yum -y -q update kernel > /dev/null
        rpm -q kernel
        cat /tmp/hook
        lsinitrd /boot/initramfs-{new}.img | grep -c 'virtio_blk\\|virtio_scsi\\|ext4.ko'
        rm /usr/lib/dracut/dracut.conf.d/02-generic-image.conf
        dracut --force /boot/host.img {new} && lsinitrd /boot/host.img | grep -c virtio_blk
        echo 'add_drivers+=" virtio_blk "' > /etc/dracut.conf.d/test.conf
        dracut --force /boot/host.img {new} && lsinitrd /boot/host.img | grep -c virtio_blk
    """
    files = inside.files(stand_in, inside.repositories(served)) | {"/etc/kernel/postinst.d/50-test": hook}
    assert tree.run(script, files).stdout.splitlines() == [
        "kernel-3.10.0-1160.80.1.el7.x86_64", f"kernel-{new}", f"{new} /boot/vmlinuz-{new}", "3", "0", "1",
    ]


# Making it.


def test_a_second_call_makes_nothing(stand_in: standin.StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(standin, "fill", never)
    assert standin.make(stand_in.base_image.parents[1]) == stand_in


def test_an_interrupted_build_is_not_taken_for_a_stand_in(
    stand_in: standin.StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = next(stand_in.base_image.parents[1].glob("debian-*.tar"))
    shutil.copy(debian, tmp_path)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "make_archive", interrupted)
    # The second finds what the first left.
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            standin.make(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [debian.name, "lock", "unfinished"]


def test_the_list_of_packages_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "packages.yaml"
    for text, wrong in (
        ("{a: {evr: 1-1, colour: red}}", "a: unknown colour"),
        ("{a: {evr: 1-1, repo: nowhere}}", "a: unknown repository nowhere"),
        ("{a: {evr: 1-1, requires: [b]}}", "nothing provides b"),
    ):
        path.write_text(f"image: [a]\npackages: {text}\n", encoding="utf-8")
        with pytest.raises(ValueError, match=wrong):
            packages.read(path)
