#!/bin/bash
# Make the stand-in's base image: bash base.sh DEBIAN_TAR RPMS CA_PEM PASSWD_FOLDER DISK OFFSET
#
# Runs in mount and process namespaces of its own (see base.py). DISK is a raw disk with an empty XFS at OFFSET (bytes);
# RPMS a folder with the packages that the image has installed.
set -eu -o pipefail

tar=$1 rpms=$2 ca=$3 accounts=$4 disk=$5 offset=$6

root=$disk.root
mkdir "$root"
mount -t xfs -o "loop,offset=$offset" "$disk" "$root"
tar -C "$root" --numeric-owner --xattrs --xattrs-include='*' -xf "$tar"
cd "$root"

in_tree() {
    # HOME: rpm and gpg must not look at the caller's.
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 SYSTEMD_OFFLINE=1 chroot "$root" "$@"
}

# 1. Take away what is Debian's: package manager, init scripts, accounts.
rm -rf var/lib/dpkg var/lib/apt var/cache/apt etc/apt etc/dpkg etc/debian_version etc/init.d etc/rc?.d etc/default \
    etc/systemd/system/* etc/selinux etc/ssl/certs usr/lib/apt usr/lib/dpkg usr/share/doc usr/share/lintian var/log/*.log var/log/apt
rm -f usr/bin/dpkg* usr/bin/apt* usr/sbin/update-rc.d usr/sbin/invoke-rc.d usr/sbin/service usr/sbin/dpkg* \
    usr/bin/deb-* usr/sbin/deb* usr/bin/update-alternatives usr/sbin/adduser usr/sbin/deluser usr/sbin/addgroup \
    usr/sbin/delgroup usr/bin/py3* usr/bin/rpmbuild usr/bin/rpmsign usr/bin/rpmspec
rm -f usr/lib/systemd/system/{systemd-networkd*,dpkg-*,e2scrub*,x11-common*} \
    usr/lib/systemd/system/*.wants/{systemd-networkd*,dpkg-*,e2scrub*}
rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid* etc/subgid*
owners=$disk.owners
find . -xdev \( ! -user root -o ! -group root \) -printf '%u %g %p\n' > "$owners"
cp "$accounts/passwd" "$accounts/group" etc/
sed 's/:.*/:!!:19000:0:99999:7:::/' etc/passwd > etc/shadow
sed 's/:.*/:::/' etc/group > etc/gshadow
chmod 0000 etc/shadow etc/gshadow
while read -r user group path; do
    # An account that CentOS lacks becomes root.
    grep -q "^$user:" etc/passwd || user=root
    grep -q "^$group:" etc/group || group=root
    in_tree chown -h "$user:$group" "/$path"
done < "$owners"
sed -i 's/^#\?SYS_UID_MIN.*/SYS_UID_MIN 201/; s/^#\?SYS_GID_MIN.*/SYS_GID_MIN 201/' etc/login.defs

# 2. Interpreter and modules under names of their own: RPMs put them in place. dnf answers to "yum".
modules=usr/lib/mailimg-stand-in/modules
mkdir -p "$modules"
for name in yaml _yaml jinja2 markupsafe jsonschema attr attrs pyrsistent _pyrsistent_version.py pvectorc*.so \
    cryptography _cffi_backend.*.so; do
    # shellcheck disable=SC2086
    mv usr/lib/python3/dist-packages/$name "$modules/"
done
rm -f usr/bin/python3
sed -i '1s,.*,#!/usr/bin/python3.11,' usr/bin/dnf-3
mv usr/bin/dnf-3 usr/bin/yum
rm -rf usr/bin/dnf etc/dnf/dnf.conf etc/yum.repos.d
mkdir -p etc/rpm var/lib/rpm etc/yum.repos.d etc/pki/rpm-gpg
printf '%%_dbpath /var/lib/rpm\n%%__gpg /usr/bin/gpg\n' > etc/rpm/macros
rm -rf root/.rpmdb

# 3. The RPM world, installed by the image's own rpm with all its checks.
mount --bind /dev dev
mount -t proc proc proc
mkdir -p var/tmp/rpms
mount --bind "$rpms" var/tmp/rpms
in_tree rpm --initdb
in_tree sh -c 'rpm --install /var/tmp/rpms/*.rpm' 2>&1
umount var/tmp/rpms
rmdir var/tmp/rpms
cp "$ca" usr/share/pki/ca-trust-source/anchors/mailimg-stand-in.pem
in_tree update-ca-trust
ln -s ../pki/tls/certs etc/ssl/certs
ln -s ca-bundle.crt etc/pki/tls/certs/ca-certificates.crt
echo "A stand-in for CentOS 7, made of Debian programs for tests of mailimg." > etc/mailimg-stand-in

# 4. What GenericCloud has lying about; all of it must be gone, or be another, in what mailimg builds.
uuid=1c419d6c-5064-4a2b-953c-05b2c67edb15
printf 'UUID=%s / xfs defaults 0 0\n' "$uuid" > etc/fstab
cat > boot/grub2/grub.cfg <<CFG
menuentry 'CentOS Linux (3.10.0-1160.80.1.el7.x86_64) 7 (Core)' {
        search --no-floppy --fs-uuid --set=root $uuid
        linux16 /boot/vmlinuz-3.10.0-1160.80.1.el7.x86_64 root=UUID=$uuid ro console=tty0 crashkernel=auto
        initrd16 /boot/initramfs-3.10.0-1160.80.1.el7.x86_64.img
}
CFG
printf 'DEVICE="eth0"\nBOOTPROTO="dhcp"\nONBOOT="yes"\nTYPE="Ethernet"\nUSERCTL="yes"\nPEERDNS="yes"\nIPV6INIT="no"\n' \
    > etc/sysconfig/network-scripts/ifcfg-eth0
printf 'NETWORKING=yes\nNOZEROCONF=yes\n' > etc/sysconfig/network
mkdir -p etc/udev/rules.d
ln -sf /dev/null etc/udev/rules.d/80-net-name-slot.rules
for kind in rsa ecdsa ed25519; do
    echo "stand-in: private $kind" > "etc/ssh/ssh_host_${kind}_key"
    echo "stand-in: public $kind" > "etc/ssh/ssh_host_${kind}_key.pub"
    chmod 0600 "etc/ssh/ssh_host_${kind}_key"
done
for name in vmlinuz initramfs; do
    echo "stand-in: rescue" > "boot/$name-0-rescue-4a1d2c3b5e6f708192a3b4c5d6e7f809"
done
mkdir -p etc/pki/tls/private
echo "stand-in: private" > etc/pki/tls/private/localhost.key
chmod 0600 etc/pki/tls/private/localhost.key
head -c 512 /dev/urandom > var/lib/systemd/random-seed
head -c 32 /dev/urandom > var/lib/random-seed
echo 4a1d2c3b5e6f708192a3b4c5d6e7f809 > etc/machine-id
echo localhost.localdomain > etc/hostname
printf '127.0.0.1 localhost localhost.localdomain\n::1 localhost localhost.localdomain\n' > etc/hosts
echo "nameserver 192.0.2.53" > etc/resolv.conf
echo "yum update" > root/.bash_history
echo "stand-in: the kickstart file of the installation" > root/anaconda-ks.cfg
mkdir -p var/log/anaconda var/lib/cloud/instances/i-stand-in
for name in messages secure maillog yum.log cloud-init.log anaconda/anaconda.log; do
    echo "stand-in: a line of the build of the image" > "var/log/$name"
done
ln -sf instances/i-stand-in var/lib/cloud/instance
rm -rf var/cache/yum/* var/cache/dnf tmp/* var/tmp/* run/*

umount proc dev
cd /
umount "$root"
