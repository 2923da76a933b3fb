"""Runs in namespaces of its own: a storage server and a server of mailboxes, both of their images, under QEMU.

    python storage_inside.py NFS_IMAGE MAILBOX_IMAGE SCRATCH LOGIN    one JSON object on standard output: what was seen

The guests are emulated, so they are booted once (the storage server twice) and everything is asked of them in a row.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailimg import process
from mailimg.machines import network, seed
from mailimg.machines.console import Console
from mailimg.machines.machine import Guest, exited
from mailimg.machines.node import Node
from mailimg.machines.place import HERE, Place
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority, ssh_key
from mailimg.peers.names import Names
from mailimg.peers.platform import Platform

BOOT_SECONDS = 400.0
CLIENT = Place(name="mailbox-1", uuid="5f2d8a51-7f6b-4c1c-9a1e-0c5a90000020", mac="52:54:00:5a:00:20",
               address4="10.90.0.20", address6="fd00:90::20", port="node1")
EVENTS = "/run/mailimg/events.jsonl"
SEEDED = "/var/lib/cloud/seed/config_drive/openstack/latest"
OWNERS = "stat -c %u:%g:%a /MAILBOXES/??? | sort | uniq -c"
VMAIL = ["setpriv", "--reuid=5000", "--regid=5000", "--clear-groups"]
LETTERS = 150  # written while the storage server dies and comes back
FOLDERS = 128  # that some processes prepare
PROCESSES = 6  # that prepare the same folders at the same moment


class Pair:
    """Both guests, and what they are asked."""

    def __init__(self, images: tuple[Path, Path], scratch: Path, login: str) -> None:
        self.scratch = scratch
        authority = Authority(scratch)
        keys = Platform(authority, "not used").site_keys()
        key, self.public = ssh_key(scratch)
        self.server = Node(login, key, keep=True)
        self.client = Node(login, key, CLIENT.address4, keep=True)
        keys["storage"] = {"server": at.NODE4, "export": "/NFSVOL"}
        self.site = seed.site_document("pop-imap-lda", "not used", authority.pem, {"sessions": 50}, keys)
        stored = seed.site_document("nfs", "not used", "system", {"nfsd_threads": 4},
                                    {"volume": {"serial": at.VOLUME_SERIAL}})
        self.machines = {
            "server": self.guest("server", images[0], stored, HERE, volume_mib=1024),
            "client": self.guest("client", images[1], self.site, CLIENT),
        }

    def guest(self, name: str, image: Path, site: dict[str, Any], place: Place, volume_mib: int = 0) -> Guest:
        """A guest with its config drive."""
        folder = self.scratch / f"{name}-seed"
        seed.write(folder, site, self.public, place)
        drive = self.scratch / f"{name}.iso"
        seed.write_iso(folder, drive)
        return Guest(self.scratch / name, image, drive, firmware="bios", accel="tcg", memory_mib=1536,
                     volume_mib=volume_mib, place=place)

    def until(self, console: Console, machine: Guest, word: Callable[[Console], bool]) -> None:
        """Follow a console until it says something, for as long as a boot may take."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not word(console):
            if exited(machine) or time.monotonic() > deadline:
                raise SystemExit("\n".join([f"{machine.folder.name}: {exited(machine) or 'no word'}", *console.tail()]))
            time.sleep(0.2)
            console.read()

    def apply(self, *, until: str = "", **storage: str) -> dict[str, Any]:
        """Run the agent on the client with another `storage`, to its end or until it waits with words like these.

        Returns:
            its status, and `waits`: what it waited for.
        """
        document = json.dumps({**self.site, "storage": {**self.site["storage"], **storage}})
        self.client.ask(["sh", "-c", f"mkdir -p {SEEDED} && cp /run/meta.json {SEEDED}/meta_data.json && "
                         f"printf %s {shlex.quote(document)} > {SEEDED}/user_data"])
        enough = f"grep -q {shlex.quote(until)} {EVENTS}" if until else "false"
        self.client.ask(["sh", "-c", f"rm -f {EVENTS}; touch {EVENTS}; mailimg-firstboot apply & agent=$!; "
                         f"while kill -0 $agent; do if {enough}; then kill $agent; break; fi; sleep 0.3; done; "
                         "wait $agent"], check=False, timeout=BOOT_SECONDS)
        events = self.client.ask(["cat", EVENTS]).splitlines()
        waits = [one["message"] for one in map(json.loads, events) if one["event"] == "wait"]
        return {**self.client.status(), "waits": waits}

    def mounted(self) -> str:
        """Type, source and options."""
        return self.client.ask(["findmnt", "-no", "FSTYPE,SOURCE,OPTIONS", "/MAILBOXES"], check=False).strip()

    def prepare(self, folder: str) -> list[dict[str, Any]]:
        """Many processes as of many servers prepare one place."""
        script = "/usr/lib/mailimg/mailimg_firstboot/onstorage.py"
        self.client.ask([*VMAIL, "mkdir", folder])
        command = f"python3 -I {script} prepare {folder} 5000 5000"
        at_once = " ".join(f"{command} server-{number} {FOLDERS} > /run/p{number} &" for number in range(PROCESSES))
        self.client.ask(["sh", "-c", f"{at_once} wait"])
        told = self.client.ask(["sh", "-c", "for one in /run/p*; do cat $one; echo; done"])
        return [dict(json.loads(line)) for line in told.splitlines()]


def observe(pair: Pair) -> dict[str, Any]:
    """The whole story, in order."""
    seen: dict[str, Any] = {}
    server, client = pair.machines["server"], pair.machines["client"]
    consoles = {name: Console(machine.console, lambda line: note(line)) for name, machine in pair.machines.items()}
    # The storage is not there when the mailboxes' server asks for it: both boot, but one is not plugged in.
    plug("nomaster")
    server.start()
    client.start()
    pair.until(consoles["client"], client, lambda console: any("storage" in line for line in console.lines))
    plug("master", network.BRIDGE)
    pair.until(consoles["client"], client, lambda console: bool(console.verdict))
    seen["verdict"] = consoles["client"].verdict
    seen["boot"] = [line for line in consoles["client"].lines if "mailimg: " in line]
    pair.client.wait(90)
    pair.server.wait(90)
    pair.client.ask(["sh", "-c", "mount /dev/disk/by-label/config-2 /mnt && cp /mnt/openstack/latest/meta_data.json "
                     "/run/meta.json && umount /mnt"])
    steps = {step["name"]: step for step in pair.client.status().get("steps", [])}
    seen["first"] = {"mount": pair.mounted(), "listeners": pair.client.listeners(), "step": steps.get("storage"),
                     "owners": pair.client.ask([*VMAIL, "sh", "-c", OWNERS]).split(),
                     "below": below(pair.client)}
    note(f"first {seen['first']}")
    seen["second run"] = pair.apply()
    note("second run")
    seen["prepared by 3"] = pair.prepare("/MAILBOXES/together-3")
    seen["power failure"] = power_failure(pair, server)
    note("power failure")
    pair.client.ask(["systemd-run", "--unit=user", "--uid=5000", "sh", "-c", "cd /MAILBOXES && exec sleep 900"])
    seen["in use"] = pair.apply(version="4.2")
    seen["in use"]["mount"] = pair.mounted()
    pair.client.ask(["systemctl", "stop", "user.service"])
    seen["by 4.2"] = pair.apply(version="4.2")
    seen["by 4.2"]["mount"] = pair.mounted()
    seen["prepared by 4.2"] = pair.prepare("/MAILBOXES/together-4")
    note("by 4.2")
    seen |= refusals(pair)
    seen["by 4.1"] = pair.apply(version="4.1")
    seen["by 4.1"]["mount"] = pair.mounted()
    return seen


def plug(*words: str) -> None:
    """Put the storage server's cable into the bridge, or pull it."""
    process.run(["ip", "link", "set", HERE.port, *words], what="plug the storage server in", timeout=20)


def below(client: Node) -> str:
    """Owner and mode of the mount point itself, under what is mounted there."""
    client.ask(["mount", "--bind", "/", "/mnt"])
    told = client.ask(["stat", "-c", "%u:%g:%a", "/mnt/MAILBOXES"]).strip()
    client.ask(["umount", "/mnt"])
    return told


def power_failure(pair: Pair, server: Guest) -> dict[str, Any]:
    """The storage server loses its power while letters are written, and comes back."""
    loop = (f"mkdir -p /MAILBOXES/letters; for n in $(seq {LETTERS}); do "
            "echo letter $n > /MAILBOXES/letters/.$n && sync /MAILBOXES/letters/.$n && "
            "mv /MAILBOXES/letters/.$n /MAILBOXES/letters/$n || exit 1; sleep 0.05; done")
    pair.client.ask(["systemd-run", "--unit=writer", "--uid=5000", "sh", "-c", loop])
    time.sleep(2)
    server.stop()
    pair.server.forget()
    server.console.unlink()
    server.start()
    # An emulated server needs a minute until it serves again; the agent is asked meanwhile.
    begun = time.monotonic()
    checked = pair.client.ask(["mailimg-firstboot", "check"], check=False)
    found: dict[str, Any] = {"check": checked, "check seconds": time.monotonic() - begun,
                             "writer": pair.client.ask(["systemctl", "is-active", "writer"], check=False).strip()}
    pair.until(again := Console(server.console, note), server, lambda _: bool(again.verdict))
    pair.server.wait(90)
    deadline = time.monotonic() + 300
    while pair.client.ask(["systemctl", "is-active", "writer"], check=False).strip() == "active":
        if time.monotonic() > deadline:
            break
        time.sleep(1)
    found["result"] = pair.client.ask(["systemctl", "show", "-p", "Result,ActiveState", "writer"], check=False).split()
    found["letters"] = int(pair.server.ask(["sh", "-c", "cat /NFSVOL/letters/[1-9]* | grep -c letter"]))
    return found


def refusals(pair: Pair) -> dict[str, Any]:
    """What the agent says of a server that does not want to, or cannot."""
    seen: dict[str, Any] = {}

    def exports(edit: str) -> None:
        pair.server.ask(["sh", "-c", f"cp -n /etc/exports /run/exports && sed '{edit}' /run/exports > /etc/exports && "
                         "exportfs -ra"])

    seen["no such export"] = pair.apply(until="10.90.0.10 exports", version="3", export="/OTHER")
    exports(f"s|{at.NETWORK4}|10.90.0.99|")
    seen["not for us"] = pair.apply(until="not to this instance", version="3")
    exports("s|(rw,|(ro,|")
    seen["read-only"] = pair.apply(version="3")
    exports("")
    pair.server.ask(["chown", "0:0", "/NFSVOL"])
    # What a client knows of a folder it keeps for up to a minute.
    pair.client.ask(["systemctl", "stop", "MAILBOXES.mount"])
    seen["owner"] = pair.apply(version="3")
    pair.server.ask(["chown", "5000:5000", "/NFSVOL"])
    seen["nobody there"] = pair.apply(until="10.90.0.99 does not", version="3", server="10.90.0.99")
    note("refusals")
    return seen


def note(line: str) -> None:
    """Progress, for who follows a test that takes minutes."""
    sys.stderr.write(f"{time.monotonic() - STARTED:6.1f} {line}\n")


STARTED = time.monotonic()


def main() -> None:
    scratch = Path(sys.argv[3])
    network.lay("qemu")
    process.run(["ip", "tuntap", "add", CLIENT.port, "mode", "tap"], what="lay the network", timeout=20)
    process.run(["ip", "link", "set", CLIENT.port, "master", network.BRIDGE, "up"], what="lay the network", timeout=20)
    names = Names(scratch / "names", {})
    names.start()
    pair = Pair((Path(sys.argv[1]), Path(sys.argv[2])), scratch, sys.argv[4])
    try:
        sys.stdout.write(json.dumps(observe(pair)))
    finally:
        for machine in pair.machines.values():
            machine.stop()
        names.stop()


if __name__ == "__main__":
    main()
