"""Runs in namespaces of its own: a domain controller, a node, and everything that can happen between them.

Prints JSON: what was seen in each scenario of `join_scenarios`, or the traceback of one that broke.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import join_scenarios
from join_node import SECRET, Node

from mailimg import process
from mailimg.machines import network
from mailimg.peers import addresses as at
from mailimg.peers import domain
from mailimg.peers.authority import Authority

# How often all processes are looked at while one must not show a secret.
GLANCE = 0.001


class World:
    """One controller and one node, with what scenarios ask of both."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.times: dict[str, float] = {}
        network.lay("nspawn")
        authority = Authority(folder)
        self.authority = authority.file
        state = self.timed("provision", lambda: domain.provision(cache))
        self.timed("provision again", lambda: domain.provision(cache))
        certificate = authority.issue(at.DC_NAME, at.DC4)
        self.dc = domain.DomainController(folder / "dc", state, certificate, authority.file)
        self.timed("controller", self.start_dc)
        self.password_file = folder / "password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(self.dc.password)
        (folder / "node").mkdir()
        self.node = Node(folder / "node")
        self.timed("node", self.node.start)
        self.count = 0

    def timed(self, what: str, work: Callable[[], Any]) -> Any:
        begun = time.monotonic()
        result = work()
        self.times[what] = round(time.monotonic() - begun, 3)
        return result

    def start_dc(self) -> None:
        """Start the controller and wait until it knows its own name."""
        self.dc.start()
        domain.wait_for_name(at.DC_NAME, at.DC4)

    def restart_node(self) -> None:
        """Boot the node again, from the disk it had."""
        # Its end of the cable went with the container.
        process.run(["ip", "link", "delete", network.PORT], what="unplug", check=False)
        process.run(["ip", "link", "add", network.PORT, "type", "veth", "peer", "name", network.INSIDE], what="plug in")
        process.run(["ip", "link", "set", network.PORT, "master", network.BRIDGE, "up"], what="plug in")
        self.node.start()

    def instance(self) -> str:
        """A new instance's id; the node has never been joined as anything."""
        self.count += 1
        self.node.forget()
        return f"5f0c5a0e-3f4e-4d0e-9a53-{self.count:012x}"

    def by_user(self, uuid: str, password: str | None = None, **keys: Any) -> None:
        """The node's documents: joined by the joining account."""
        join = {"realm": at.AD_DOMAIN, "ou": self.dc.ou, "user": self.dc.joiner, "password": f"file:{SECRET}", **keys}
        self.node.seed(uuid, join, self.dc.joiner_password if password is None else password)

    def preset(self, uuid: str, password: str, **keys: Any) -> None:
        """The node's documents: joined by the one-time password of a preset account."""
        self.node.seed(uuid, {"realm": at.AD_REALM, "one_time_password": f"file:{SECRET}", **keys}, password)

    def account(self, name: str) -> dict[str, str]:
        """A computer account as the controller has it; empty when there is none."""
        return self.account_of(name + "$")

    def account_of(self, login: str) -> dict[str, str]:
        """Any account as the controller has it; empty when there is none."""
        found = self.ldb("ldbsearch", f"(sAMAccountName={login})", "description", "info", "pwdLastSet", "badPwdCount",
                         "servicePrincipalName", "dNSHostName")
        pairs = [line.partition(": ")[::2] for line in found.splitlines() if ": " in line and not line.startswith("#")]
        return {key: value for key, value in pairs if key != "ref"}

    def computers(self) -> list[str]:
        """Names of all computer accounts but the controller's."""
        found = self.ldb("ldbsearch", "(&(objectClass=computer)(!(primaryGroupID=516)))", "sAMAccountName")
        return sorted(line.partition(": ")[2] for line in found.splitlines() if line.startswith("sAMAccountName: "))

    def ldb(self, program: str, *words: str, stdin: str | None = None) -> str:
        """Ask or change the controller's database."""
        argv = [program, "-H", str(self.dc.folder / "private" / "sam.ldb"), *words]
        return process.run(argv, what=program, stdin=None if stdin is None else stdin.encode(), timeout=60).stdout

    def adcli(self, *words: str) -> None:
        """What an administrator does with adcli, from elsewhere in the network."""
        login = ["--domain=" + at.AD_DOMAIN, "--domain-controller=" + at.DC_NAME, "--login-user=Administrator"]
        process.run(["adcli", words[0], *login, "--stdin-password", *words[1:]], what="adcli", timeout=60,
                    stdin=self.dc.admin_password.encode())

    def try_adcli(self, stdin: str, *words: str) -> list[Any]:
        """Exit status and words of adcli, on the controller's side of the bridge."""
        done = process.run(["adcli", *words], what="adcli", check=False, stdin=stdin.encode(), timeout=60)
        return [done.returncode, done.stderr.strip()]

    def ask(self, argv: list[str]) -> list[Any]:
        """Exit status of a program of this host, and the lines it printed."""
        done = process.run(argv, what=argv[0], check=False, timeout=60, env={"LDAPTLS_CACERT": str(self.authority)})
        return [done.returncode, sorted(line for line in (done.stdout + done.stderr).splitlines() if line)]

    @contextmanager
    def watched(self, *secrets: str) -> Iterator[dict[str, Any]]:
        """See all arguments and environments of processes while the block runs."""
        told: dict[str, Any] = {"programs": set(), "shown": set(), "looks": 0}
        over = threading.Event()

        def look() -> None:
            while not over.is_set():
                told["looks"] += 1
                for folder in Path("/proc").glob("[0-9]*"):
                    with suppress(OSError):
                        words = (folder / "cmdline").read_bytes()
                        program = words.split(b"\0")[0].decode(errors="replace").rpartition("/")[2]
                        told["programs"].add(program)
                        seen = words + (folder / "environ").read_bytes()
                        told["shown"] |= {program for secret in secrets if secret.encode() in seen}
                time.sleep(GLANCE)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield told
        finally:
            over.set()
            watcher.join()
            told["programs"] = sorted(told["programs"] & {"kinit", "adcli", "ldapsearch", "ldapmodify", "sssd"})
            told["shown"] = sorted(told["shown"])

    def found_in_files(self, *secrets: str) -> list[str]:
        """Files of the node that hold one of these, but for the file that is there to hold it."""
        inside = Path(f"/proc/{self.node.leader}/root")
        hits = []
        for top in (self.node.upper, *(inside / name for name in ("run", "tmp", "dev/shm"))):
            for path in top.rglob("*"):
                with suppress(OSError):
                    if path.is_symlink() or not path.is_file() or path == self.node.upper / SECRET.lstrip("/"):
                        continue
                    content = path.read_bytes()
                    hits += [str(path) for secret in secrets if secret.encode() in content]
        said = self.node.run(["journalctl", "--no-pager", "-o", "export"]).stdout
        return hits + ["journal" for secret in secrets if secret in said]


def main() -> None:
    folder, cache = Path(sys.argv[1]), Path(sys.argv[2])
    (folder / "resolv.conf").write_text(f"nameserver {at.DC4}\n")
    # Only this mount namespace sees it.
    process.run(["mount", "--bind", folder / "resolv.conf", Path("/etc/resolv.conf").resolve()], what="use our DNS")
    world = World(folder, cache)
    told: dict[str, Any] = {}
    try:
        for name in sys.argv[3:] or join_scenarios.NAMES:
            begun = time.monotonic()
            try:
                told[name] = getattr(join_scenarios, name)(world)
            except Exception:  # noqa: BLE001 - the other scenarios shall be seen, too
                told[name] = {"broken": traceback.format_exc()}
            world.times[name] = round(time.monotonic() - begun, 1)
    finally:
        world.node.stop()
        world.dc.stop()
    sys.stdout.write("\n" + json.dumps({**told, "times": world.times}))


if __name__ == "__main__":
    main()
