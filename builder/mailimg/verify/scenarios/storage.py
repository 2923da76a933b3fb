"""Storage: the volume is formatted once and never again, exported to the server network only, by NFS 3 and 4."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.clients import rpc
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority
from mailimg.verify.scenarios import Bench, Check, CheckFailed

TUNING: Mapping[str, Any] = {"nfsd_threads": 4}
VOLUME_MIB = 1024
GROWN_MIB = 2048

EXPORT = "/NFSVOL"
VMAIL = 5000
DEVICE = f"/dev/disk/by-id/virtio-{at.VOLUME_SERIAL[:20]}"
PLACE = "/mnt/verify"
LETTER = "a letter that must not be lost"

# Programs of RPC, with the ports that security groups name.
PORTS = {
    "nfs": (100003, 3, 2049),
    "mountd": (100005, 3, 20048),
    "statd": (100024, 1, 32765),
    "lockd": (100021, 4, 32767),
}


def site_keys(authority: Authority) -> Mapping[str, Any]:
    """Which volume."""
    return {"volume": {"serial": at.VOLUME_SERIAL}}


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (
        ("the blank volume is formatted, mounted and owned by vmail", formatted),
        ("every RPC service has its fixed port", fixed_ports),
        ("exported to the server network only", exported),
        ("NFS 3: vmail writes, root does not", nfs3),
        ("NFS 4: vmail writes, root does not", nfs4),
        ("a second run of the agent changes nothing", second_run),
        ("another volume that is not blank is refused", foreign_refused),
        ("a reboot keeps the data, and the volume grows with its disk", reboot),
    )


def formatted(bench: Bench) -> str:
    """By the agent, with its label."""
    told = bench.node.ask(["findmnt", "-no", "SOURCE,FSTYPE,LABEL,OPTIONS", EXPORT]).strip()
    if "ext4 mailimg-volume" not in " ".join(told.split()):
        raise CheckFailed(told)
    owner = bench.node.ask(["stat", "-c", "%u:%g %a", EXPORT]).strip()
    if owner != f"{VMAIL}:{VMAIL} 750":
        raise CheckFailed(f"{EXPORT} is {owner}")
    return " ".join(told.split()[:3])


def fixed_ports(bench: Bench) -> str:
    """As the portmapper tells them to a server of the network, and as they answer."""
    found = {name: rpc.port(at.NODE4, at.HOST4, program, version) for name, (program, version, _) in PORTS.items()}
    wanted = {name: port for name, (_, _, port) in PORTS.items()}
    if found != wanted:
        raise CheckFailed(f"expected {wanted}, got {found}")
    for program, version, port in PORTS.values():
        rpc.null(at.NODE4, at.HOST4, port, program, version)
    return ", ".join(f"{name} {port}" for name, port in found.items())


def exported(bench: Bench) -> str:
    """What `showmount -e` shows; and a host outside cannot mount."""
    found = rpc.exports(at.NODE4, at.HOST4, PORTS["mountd"][2])
    if found != {EXPORT: [at.NETWORK4]}:
        raise CheckFailed(f"expected {EXPORT} for {at.NETWORK4}, got {found}")
    inside = rpc.mount(at.NODE4, at.HOST4, PORTS["mountd"][2], EXPORT)
    outside = rpc.mount(at.NODE4, at.SENDER4, PORTS["mountd"][2], EXPORT)
    if inside != 0 or outside == 0:
        raise CheckFailed(f"mount from the server network: status {inside}; from the Internet: status {outside}")
    return f"{found}; from {at.SENDER4}: refused with status {outside}"


def nfs3(bench: Bench) -> str:
    """With the locks of NFS 3, which need statd and lockd."""
    return mounts(bench, "3")


def nfs4(bench: Bench) -> str:
    """NFS 4.2."""
    return mounts(bench, "4.2")


def mounts(bench: Bench, version: str) -> str:
    """A real client, the node's own kernel, over its address."""
    node = bench.node
    node.ask(["mkdir", "-p", PLACE])
    node.ask(["mount", "-t", "nfs", "-o", f"vers={version},proto=tcp,hard,timeo=600", f"{at.NODE4}:{EXPORT}", PLACE])
    try:
        told = node.ask(["findmnt", "-no", "FSTYPE,OPTIONS", PLACE])
        if f"vers={version}" not in told:
            raise CheckFailed(f"mounted otherwise: {told}")
        file = f"{PLACE}/v{version[0]}"
        vmail = ["setpriv", f"--reuid={VMAIL}", f"--regid={VMAIL}", "--clear-groups"]
        node.ask([*vmail, "sh", "-c", f"echo '{LETTER}' > {file}.new && sync {file}.new && mv {file}.new {file}"])
        node.ask([*vmail, "flock", "-w", "100", file, "true"])
        owner = node.ask(["stat", "-c", "%u:%g", f"{EXPORT}/v{version[0]}"]).strip()
        if owner != f"{VMAIL}:{VMAIL}":
            raise CheckFailed(f"what vmail wrote belongs to {owner}")
        if LETTER in node.ask(["cat", file], check=False):
            raise CheckFailed("root of a client reads mailboxes")
        node.ask(["sh", "-c", f"! touch {PLACE}/by-root"])
    finally:
        node.ask(["umount", PLACE])
    return told.split()[1][:60]


def second_run(bench: Bench) -> str:
    """Nothing is written to the volume, nothing is mounted anew."""
    before = bench.node.ask(["blkid", "-s", "UUID", "-o", "value", DEVICE])
    bench.node.ask(["mailimg-firstboot", "apply"])
    steps = {step["name"]: step["state"] for step in bench.node.status()["steps"]}
    after = bench.node.ask(["blkid", "-s", "UUID", "-o", "value", DEVICE])
    if before != after or steps["volume"] != "clean" or steps["services"] != "clean":
        raise CheckFailed(f"UUID {before} and {after}; steps {steps}")
    return f"filesystem {after.strip()}"


def foreign_refused(bench: Bench) -> str:
    """The same filesystem under a label that is not ours: the agent fails, says why, and writes nothing to it."""
    node = bench.node
    node.ask(["systemctl", "stop", "nfs-server.service"])
    node.ask(["systemctl", "stop", "NFSVOL.mount"])
    node.ask(["e2label", DEVICE, "somebody"])
    before = node.ask(["dumpe2fs", "-h", DEVICE])
    node.ask(["mailimg-firstboot", "apply"], check=False)
    status = node.status()
    after = node.ask(["dumpe2fs", "-h", DEVICE])
    served = [port for port in (2049, 20048) if port in node.listeners()]
    node.ask(["e2label", DEVICE, "mailimg-volume"])
    node.ask(["mailimg-firstboot", "apply"])
    words = "is not blank and not ours: ext4, labelled somebody"
    if status.get("state") != "failed" or words not in str(status.get("message")):
        raise CheckFailed(f"state {status.get('state')!r}: {status.get('message')}")
    if before != after:
        raise CheckFailed("the volume was written to")
    if served:
        raise CheckFailed(f"ports {served} listen although the volume is not there")
    return str(status["message"])


def reboot(bench: Bench) -> str:
    """Off, a larger disk, on."""
    volume = bench.volume
    if volume is None:
        raise CheckFailed("the node has no volume")
    word = bench.power_cycle(lambda: os.truncate(volume, GROWN_MIB << 20))
    for version in ("3", "4"):
        found = bench.node.ask(["cat", f"{EXPORT}/v{version}"]).strip()
        if found != LETTER:
            raise CheckFailed(f"{EXPORT}/v{version} holds {found!r} after the reboot")
    blocks, block_size = bench.node.ask(["stat", "-f", "-c", "%b %S", EXPORT]).split()
    size = int(blocks) * int(block_size)
    if size < (GROWN_MIB - 128) << 20:
        raise CheckFailed(f"the filesystem has {size >> 20} of {GROWN_MIB} MiB")
    return f"{word}; {size >> 20} MiB"

