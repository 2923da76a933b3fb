"""Runs in namespaces of its own: boots a tree with secrets that are found again, and tells everything that holds one.

    python canary_inside.py ROLE TREE SCRATCH    one JSON object on standard output, see `main`

The search looks in from outside, through /proc of the container: whoever searches inside has the words of the search in
the process list itself.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from mailimg.machines import network, seed
from mailimg.machines.console import Console
from mailimg.machines.machine import Container
from mailimg.machines.node import Node
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority, ssh_key
from mailimg.peers.directory import Directory
from mailimg.peers.names import Names
from mailimg.peers.platform import Platform
from mailimg.peers.sink import Sink
from mailimg.verify import scenarios
from mailimg.verify.session import until_ready

SECONDS = 120.0
SCENARIOS = {"smtp-out": "submission", "pop-imap-lda": "mailbox"}
# Not files of a disk.
SKIPPED = {"/proc", "/sys", "/dev"}
CHUNK = 1 << 20

Canaries = Mapping[str, Sequence[bytes]]


def canary() -> str:
    """Text that stands nowhere else."""
    return secrets.token_hex(24)


def forms(text: str) -> list[bytes]:
    """A text as it is, and as it reads inside of something in base64, wherever it begins."""
    raw = text.encode()
    found = [raw]
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # Signs at both ends depend on what stands beside.
        found.append(coded[4 if shift else 0 : len(coded) - 4])
    return found


def literals(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and text of every secret of a document."""
    if isinstance(value, str) and value.startswith("literal:"):
        yield path, value.partition(":")[2]
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from literals(child, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from literals(child, f"{path}[{index}]")


def telling(text: str) -> str:
    """What is looked for of a secret: of a key in PEM a line from its middle, of a hash what follows its salt."""
    lines = text.strip().splitlines()
    return lines[len(lines) // 2] if len(lines) > 1 else text.rpartition("$")[2]


class Watch:
    """Looks at the command lines and environments of all processes, over and over."""

    def __init__(self, canaries: Canaries) -> None:
        self.canaries = canaries
        self.seen: set[tuple[str, str, str]] = set()
        self.passes = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.ended.wait(0.002):
            for one in processes():
                for kind in ("cmdline", "environ"):
                    # It may have ended meanwhile.
                    with suppress(OSError):
                        content = (one / kind).read_bytes()
                        for name in holding(content, self.canaries):
                            self.seen.add((kind, content.replace(b"\0", b" ")[:40].decode(errors="replace"), name))
            self.passes += 1

    def stop(self) -> None:
        """End the watch."""
        self.ended.set()
        self.thread.join()


def processes() -> list[Path]:
    """Their folders in /proc."""
    return [one for one in Path("/proc").iterdir() if one.name.isdigit()]


def holding(content: bytes, canaries: Canaries) -> list[str]:
    """Names of the secrets that are in it."""
    return [name for name, looks in canaries.items() if any(look in content for look in looks)]


def leader() -> int:
    """The container's first process, by its number here."""
    for one in processes():
        with suppress(OSError):
            status = (one / "status").read_text()
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(numbers) == 2 and numbers[1] == "1":
                return int(one.name)
    raise RuntimeError("the container has no first process")


def on_disk(root: Path, canaries: Canaries, since: float) -> tuple[list[dict[str, Any]], list[str]]:
    """Every file of the node that holds a secret, with what its mode lets others do; and what of the agent was read.

    What nobody changed `since` the secrets were made (seconds since 1970) is the image's and cannot hold one: only the
    kernel sets a file's ctime.
    """
    found = []
    read = []
    for folder, folders, names in os.walk(root):
        inside = Path("/") / Path(folder).relative_to(root)
        folders[:] = [name for name in folders if str(inside / name) not in SKIPPED]
        for name in names:
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                info = path.lstat()
                if stat.S_ISREG(info.st_mode) and info.st_ctime >= since:
                    read.append(str(inside / name))
                    for secret in in_file(path, canaries):
                        found.append({"path": str(inside / name), "secret": secret, "uid": info.st_uid,
                                      "mode": stat.S_IMODE(info.st_mode)})
    return found, [path for path in read if path.startswith("/run/mailimg/")]


def in_file(path: Path, canaries: Canaries) -> list[str]:
    """Names of the secrets in a file of any size."""
    longest = max(len(look) for looks in canaries.values() for look in looks)
    names: set[str] = set()
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(CHUNK):
            names |= set(holding(rest + chunk, canaries))
            rest = chunk[-longest:]
    return sorted(names)


def look(machine: Container, node: Node, watch: Watch, canaries: Canaries, since: float) -> dict[str, Any]:
    """All that holds a secret, by where it was found."""
    files, read = on_disk(Path("/proc", str(leader()), "root"), canaries, since)
    return {
        "files": files,
        "read": read,
        # The journal's own files may be compressed.
        "journal": holding(node.ask(["journalctl", "--no-pager", "--all", "-o", "export"]).encode(), canaries),
        "console": holding(machine.console.read_bytes(), canaries),
        "processes": sorted(watch.seen),
        "passes": watch.passes,
    }


def leak(node: Node, texts: Mapping[str, str], secret_file: str) -> None:
    """Everything that must not happen, once each; the name of what is leaked tells where."""
    bind = texts["directory.bind_password"]
    node.ask(["chmod", "0644", secret_file])
    node.ask(["sh", "-c", f"umask 022; printf %s {bind} > /var/lib/leaked"])
    node.ask(["sh", "-c", f"umask 077; printf %s {bind} | base64 -w0 > /root/leaked"])
    node.ask(["logger", texts["unused.alarms"]])
    node.ask(["sh", "-c", f"printf '%s\\n' {texts['unused.database']} > /dev/console"])
    node.ask(["env", f"LEAKED={bind}", "sleep", "1"])


def main() -> None:
    """Boot, look, leak, look again."""
    role, tree, scratch = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    scenario = scenarios.find(SCENARIOS[role])
    since = time.time() - 1  # a file's times are a little coarser than the clock
    with ExitStack() as running:
        network.lay("nspawn")
        authority = Authority(scratch)
        directory = Directory(scratch / "directory", authority.issue(at.DIRECTORY_NAME, at.HOST4), authority.file)
        platform = Platform(authority, directory.password)
        for peer in (Names(scratch / "names", {at.DKIM_NAME: platform.dkim_record}), directory, Sink()):
            running.callback(peer.stop)
            peer.start()
        key, public = ssh_key(scratch)
        keys = platform.site_keys()
        keys["relay_account"]["password"] = f"literal:{canary()}"
        keys["masters"][0]["password"] = f"literal:{{SHA512-CRYPT}}$6${canary()[:16]}${(canary() * 2)[:86]}"
        # Of other roles: no business of this one.
        keys["database"] = {"host": "db", "user": "sogo", "password": f"literal:{canary()}"}
        keys["webmail"] = {"alarms": {"login": "reminders", "password": f"literal:{canary()}"}}
        site = seed.site_document(role, directory.password, authority.pem, scenario.TUNING, keys)
        texts = {path: telling(text) for path, text in literals(site)}
        canaries = {path: forms(text) for path, text in texts.items()}
        seed.write(scratch / "seed", site, public)
        binds = {}
        for inside, owner in getattr(scenario, "BINDS", {}).items():
            binds[inside] = scratch / "bound"
            binds[inside].mkdir(mode=0o700)
            os.chown(binds[inside], owner, owner)
        watch = Watch(canaries)
        machine = Container(scratch / "node", tree, scratch / "seed", binds)
        running.callback(machine.stop)
        machine.start()
        until_ready(machine, Console(machine.console, lambda _: None), SECONDS)
        node = Node("debian", key)
        node.wait(SECONDS)
        node.ask(["mailimg-firstboot", "apply"])
        clean = look(machine, node, watch, canaries, since)
        names = node.role()
        secret_file = next(one["path"] for one in names["files"] if one["secret"] and "bind" not in one["path"]
                           and "@" not in one["path"])
        leak(node, {**texts, "unused.alarms": texts["webmail.alarms.password"],
                    "unused.database": texts["database.password"]}, secret_file)
        time.sleep(0.5)
        leaked = look(machine, node, watch, canaries, since)
        watch.stop()
    sys.stdout.write(json.dumps({"role": names, "secrets": sorted(texts), "opened": secret_file, "clean": clean,
                                 "leaked": leaked}))


if __name__ == "__main__":
    main()
