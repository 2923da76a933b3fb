"""Runs in namespaces of its own: a cloud, a domain controller, servers of which some are gone, and `mailimg reap`.

Prints JSON: what each run said and did, and what is there afterwards.
"""

from __future__ import annotations

import base64
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import cloud
import yaml
from stack_site import started

from mailimg import process
from mailimg.machines import network
from mailimg.peers import addresses as at
from mailimg.peers import domain
from mailimg.peers.authority import Authority
from mailimg.stack.orders import INPUT
from mailimg_firstboot.membership import computer

END = 120.0
ROLE = "smtp-in"


class World:
    """The cloud's project, the domain, and instances by what became of them."""

    def __init__(self, rig: cloud.Rig, folder: Path, cache: Path) -> None:
        self.rig, self.folder, self.me = rig, folder, rig.project().me
        authority = Authority(folder)
        self.ca = authority.file
        self.dc = domain.DomainController(folder / "dc", domain.provision(cache),
                                          authority.issue(at.DC_NAME, at.DC4), authority.file)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{at.DC4} {at.DC_NAME}\n")
        process.run(["mount", "--bind", folder / "hosts", "/etc/hosts"], what="name the controller")
        self.dc.start()
        self.alive, self.dead = self.server("alive"), self.server("dead")
        self.me.request("compute", "DELETE", f"/servers/{self.dead}")
        self.foreign = str(uuid.uuid4())

    def server(self, name: str) -> str:
        """A server of the stand-in."""
        return str(self.me.post("compute", "/servers", {"server": {"name": name, "imageRef": "x"}})["server"]["id"])

    def account(self, name: str, text: str, attribute: str = "description", by_admin: bool = False) -> None:
        """A computer account below the servers' OU, made as the joining account makes it, or by an administrator."""
        entry = [f"dn: CN={name},{self.dc.ou}", "objectClass: computer", f"sAMAccountName: {name}$",
                 "userAccountControl: 4128", f"{attribute}:: {base64.b64encode(text.encode()).decode()}", ""]
        ldif = "\n".join(entry).encode()
        if by_admin:
            process.run(["ldbadd", "-H", self.dc.folder / "private" / "sam.ldb"], what="make an account", stdin=ldif)
            return
        secret = self.folder / "joiner"
        secret.touch(mode=0o600)
        secret.write_text(self.dc.joiner_password)
        process.run(["ldapadd", "-x", "-ZZ", "-H", f"ldap://{at.DC_NAME}", "-D", f"{self.dc.joiner}@{at.AD_REALM}",
                     "-y", secret], what="make an account", stdin=ldif, env={"LDAPTLS_CACERT": str(self.ca)})

    def order(self, server: str) -> None:
        """An order to leave."""
        config = self.me.post("orchestration", "/software_configs", {"name": "mailimg-leave", "group": "mailimg"})
        self.me.post("orchestration", "/software_deployments", {
            "config_id": config["software_config"]["id"], "server_id": server, "input_values": INPUT,
            "action": "DELETE", "status": "IN_PROGRESS"})

    def orders(self) -> list[str]:
        """Servers that have one."""
        return [one["server_id"] for one in self.me.get("orchestration", "/software_deployments")[
            "software_deployments"]]

    def site(self, **changes: Any) -> None:
        """The site document, with other keys of `join`."""
        secret = self.rig.project().secret(self.dc.joiner_password.encode(), "passphrase")
        ca = changes.pop("ca", self.ca.read_text())
        join = {"realm": at.AD_DOMAIN, "ou": self.dc.ou, "user": self.dc.joiner, "password": f"barbican:{secret}"}
        join.update(changes)
        (self.folder / "site.yaml").write_text(yaml.safe_dump({
            "mailimg": 1, "directory": {"urls": [f"ldap://{at.DC_NAME}"], "ca": ca},
            "join": {name: value for name, value in join.items() if value is not None}}))

    def reap(self, *argv: str, site: bool = True) -> dict[str, Any]:
        """`mailimg reap`."""
        words = ["reap", *(["--site", "site.yaml"] if site else []), *argv]
        with started(self.rig, self.folder, *words) as run:
            status = run.wait(END)
        out, err = (self.folder / "out").read_text(), (self.folder / "err").read_text()
        return {"status": status, "out": json.loads(out) if "--json" in argv and out else out, "err": err,
                "secret": self.dc.joiner_password in out + err}


def told(world: World) -> dict[str, Any]:
    """All runs, one after the other."""
    project = world.rig.project()
    balancer = project.load_balancer("mx", {"smtp": 25})
    pool = balancer.pools["smtp"]
    names = {"alive": f"mailimg-{world.alive}", "dead": f"mailimg-{world.dead}", "foreign": f"mailimg-{world.foreign}",
             "by hand": f"mailimg-{world.dead}-2", "nameless": "", "other": "mail-1"}
    for number, name in enumerate(names.values()):
        project.add_member(balancer, pool, f"192.0.2.{number + 1}", 25, name=name)
    for one in (world.alive, world.dead, world.foreign):
        world.account(computer(ROLE, one), f"mailimg {ROLE}, instance {one}")
        world.order(one)
    # What it did not make: marks that are not the agent's own words, whatever the account is called.
    world.account("PRESET", f"instance {world.dead}")
    world.account("COPY", f"mailimg {ROLE}, instance {world.dead} (copied)")
    world.account("SI-0123456789", "a printer")
    world.account("MARKED", f"mailimg {ROLE}, instance {world.dead}", "info", by_admin=True)

    def state() -> dict[str, Any]:
        members = [one["name"] for one in project.members(pool)]
        return {"members": sorted(key for key, name in names.items() if name in members),
                "accounts": sorted(one.removesuffix("$") for one in world.dc.computers()), "orders": world.orders()}

    seen: dict[str, Any] = {
        "ids": {"alive": world.alive, "dead": world.dead, "foreign": world.foreign},
        "names": {key: computer(ROLE, one) for key, one in (
            ("alive", world.alive), ("dead", world.dead), ("foreign", world.foreign))}}
    (world.folder / "stranger").mkdir()
    world.site(ca=Authority(world.folder / "stranger").file.read_text())
    seen["stranger"] = world.reap("--yes")
    world.site(user="nobody-here")
    seen["wrong login"] = world.reap("--yes")
    world.site(ou=None, user=None, password=None)
    seen["no login"] = world.reap("--yes")
    world.site()
    seen["dry"] = world.reap("--json")
    seen["dry words"] = world.reap()
    seen["before"] = state()
    seen["yes"] = world.reap("--yes")
    seen["after"] = state()
    seen["again"] = world.reap("--yes", "--json")
    (world.folder / "password").write_text(world.dc.admin_password + "\n")
    seen["admin"] = world.reap("--yes", "--login", "Administrator", "--password-file", "password", "--forgotten")
    seen["in the end"] = state()
    seen["pools only"] = world.reap(site=False)
    return seen


def main() -> None:
    """Lay the network, start everything, try everything."""
    folder, store = Path(sys.argv[1]), Path(sys.argv[2])
    network.lay("nspawn")
    with cloud.openstack(store / "cache", *cloud.ALL) as rig:
        world = World(rig, folder, store / "peers")
        try:
            print(json.dumps(told(world)))  # noqa: T201 - to whoever runs this
        finally:
            world.dc.stop()


main()
