#!/bin/bash
# Run a command in the tree of a base image: bash inside.sh RAW OFFSET FILES WORK COMMAND...
#
# The image is read as `mailimg build` reads GenericCloud; what the command writes goes to memory and is lost. FILES is copied
# over the tree first. Runs in mount and process namespaces of its own (see inside.py).
set -eu -o pipefail

raw=$1 offset=$2 files=$3 work=$4
shift 4

mount -t tmpfs -o mode=0755 tmpfs "$work"
mkdir "$work/image" "$work/upper" "$work/scratch" "$work/tree"
mount -t xfs -o "ro,loop,norecovery,nouuid,offset=$offset" "$raw" "$work/image"
mount -t overlay -o "lowerdir=$work/image,upperdir=$work/upper,workdir=$work/scratch" overlay "$work/tree"
cp -a --no-preserve=ownership "$files/." "$work/tree/"
# As diskimage-builder does it.
cp --remove-destination -L /etc/resolv.conf "$work/tree/etc/resolv.conf"
mount --bind /dev "$work/tree/dev"
mount -t proc proc "$work/tree/proc"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 SYSTEMD_OFFLINE=1 chroot "$work/tree" "$@"
