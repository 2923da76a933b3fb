"""The config drive: a small file system that Nova labels `config-2`."""

import io
from typing import Dict, List, Optional

from mailimg_firstboot.host import Host

LABEL = "config-2"

# Reads a config drive in a mount namespace of its own, so that the mount ends with the process however that ends.
# $1 device, $2 empty folder, then names below openstack/latest. Prints a tar archive of those that exist.
READ_DRIVE = """
set -eu
device=$1 folder=$2
shift 2
mount --make-rprivate /
mount -o ro,nosuid,nodev,noexec "$device" "$folder"
cd "$folder/openstack/latest"
for name in "$@"; do
    shift
    if [ -e "$name" ]; then set -- "$@" "$name"; fi
done
exec tar -c -f - -- "$@"
"""


def find(host: Host) -> Optional[str]:
    """The block device of the config drive, or None; Nova's vfat drives may bear the label in capitals."""
    for name in (LABEL, LABEL.upper()):
        link = "/dev/disk/by-label/" + name
        if host.path(link).exists():
            return str(host.path(link))
        # Without udev (or before it) only the devices themselves know; status 2: no such label.
        found = host.run(["blkid", "-L", name], "look for a drive labelled {}".format(name), check=False)
        if found.status == 0 and found.out.strip():
            return found.out.decode("utf-8").split()[0]
    return None


def read(host: Host, device: str, names: List[str]) -> Dict[str, bytes]:
    """The files of `names` below openstack/latest that the drive has; it is mounted for this moment only.

    Raises:
        StepError: it cannot be mounted or has no such folder.
    """
    import tarfile
    import tempfile  # late: it imports random (see cli)

    with tempfile.TemporaryDirectory(prefix="mailimg-drive-") as folder:
        found = host.run(["unshare", "--mount", "sh", "-c", READ_DRIVE, "read-drive", device, folder, *names],
                         "read the config drive {}".format(device))
    with tarfile.open(fileobj=io.BytesIO(found.out)) as archive:
        streams = [(member.name, archive.extractfile(member)) for member in archive if member.isfile()]
        return {name: stream.read() for name, stream in streams if stream}
