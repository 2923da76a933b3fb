"""Whose server works on whose mail: one at a time, because two that work on one mailbox over NFS damage it.

Dovecot hashes each user into one of `SLOTS` slots (`%2.256Nu` in its configuration) and looks the slot up in a file
that is kept here. A slot of another server's has a line for each port, which says where to pass the user on to; a slot
of this server's has none. The servers know of each other by the storage that they share (`onstorage.report`), and each
works the same out for itself, so nothing but that storage has to be there.

Each slot goes to the server whose hash together with the slot is highest: one that comes or goes moves its own share
and nobody else's.
"""

import hashlib
import ipaddress
import json
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from mailimg_firstboot import moving
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import Assignment, HealthCheck, MountPoint, PassOn, RoleFile

SLOTS = 256

# Seconds after which a server that has not reported is not counted on: three reports of mailimg-siblings.timer.
VOID_AFTER = 45.0

# What this server tells the others and asks of Dovecot for them; gone after a boot, and the first act of leaving.
STATE = "/run/mailimg/siblings.json"

# The others that were counted on at the last look; gone after a boot.
SEEN = "/run/mailimg/siblings-seen.json"

# Names of servers: UUIDs of instances.
NAME = re.compile(r"[A-Za-z0-9-]{1,100}\Z")

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Seconds in which a server that leaves ends sessions before it looks again whose they are.
LEAVING = 60.0


class Me(NamedTuple):
    """This server.

    Args:
        name: the instance's UUID.
        address: where its siblings reach it.
        host: a name that the certificate of all of them covers.
        networks: of the site's servers; what is elsewhere is no sibling.
    """

    name: str
    address: str
    host: str
    networks: List[str]


class Outcome(NamedTuple):
    """What is now.

    Args:
        servers: address and number of slots, by name.
        passed_on: users whose sessions here were ended because they are another server's now.
        changed: whether the file was written.
        whole: whether all who have sessions here were asked for, and Dovecot knew whose they are.
    """

    servers: Dict[str, Tuple[str, int]]
    passed_on: List[str]
    changed: bool
    whole: bool


NOTHING = Outcome({}, [], False, True)


def read(host: Host) -> Optional[Me]:
    """This server, if it takes part."""
    content = host.read(STATE)
    return None if content is None else Me(**json.loads(content.decode("ascii")))


def written(me: Me) -> bytes:
    """The content of `STATE`."""
    return json.dumps(me._asdict(), sort_keys=True).encode("ascii")


def refresh(host: Host, role: RoleFile, me: Me) -> Outcome:
    """Report, see who else does, and let Dovecot know; who is no longer this server's is asked to log in anew.

    Nothing is done by a run that `STATE` was taken from meanwhile, or changed: this server leaves, or the next run
    knows better.

    Raises:
        TransientError: the storage does not answer; all stays as it is.
        StepError: Dovecot's own commands failed.
    """
    place, assignment = parts(role)
    # One port stands for all of the daemon's: each question leaves a line in its log.
    serving = host.probe(HealthCheck("tcp", "sibling", assignment.pass_on[0].to, "")) is None
    if read(host) != me:
        return NOTHING
    found = host.nfs.report(place.path, place.owner, place.group, me.name, me.address if serving else "")
    now = read(host)
    if now is None:
        host.nfs.retire(place.path, place.owner, place.group, me.name)
    if now != me:
        return NOTHING
    servers = alive(found, me.networks)
    if silenced(host, me, found, servers):
        moved = moving.go_on(host, assignment.pass_on[0].port)
        return Outcome({}, moved.users, False, moved.whole)
    return settle(host, assignment, me, servers, moving.WORK)


def withdraw(host: Host, role: RoleFile, me: Me) -> Outcome:
    """Leave all users to the others, if there are some; raises as `refresh`. Nobody waits for a report after this."""
    place, assignment = parts(role)
    found = host.nfs.report(place.path, place.owner, place.group, me.name, "")
    host.nfs.retire(place.path, place.owner, place.group, me.name)
    host.remove(SEEN)
    return settle(host, assignment, me, alive(found, me.networks), LEAVING)


def parts(role: RoleFile) -> Tuple[MountPoint, Assignment]:
    """Where servers know of each other, and what they pass on.

    Raises:
        StepError: the role has no such thing.
    """
    if role.mount is None or role.assignment is None:
        raise StepError("users of {} are not assigned to servers".format(role.role))
    return role.mount, role.assignment


def settle(host: Host, assignment: Assignment, me: Me, servers: Dict[str, str], seconds: float) -> Outcome:
    """Write who works for whom, and end the sessions that are another's now, as far as one comes in so many seconds."""
    chosen = owners(servers)
    wanted = content(chosen, servers, me, assignment.pass_on)
    changed = host.read(assignment.file) != wanted
    if changed:
        # Before the table: what is cut off in between is gone on with.
        moving.mark(host)
        host.write(assignment.file, wanted)
    if not wanted:
        moving.done(host)
    moved = moving.go_on(host, assignment.pass_on[0].port, seconds)
    return Outcome({name: (where, chosen.count(name)) for name, where in servers.items()}, moved.users, changed,
                   moved.whole)


def alive(found: Dict[str, Tuple[str, float]], networks: Iterable[str]) -> Dict[str, str]:
    """The servers that can be counted on, with their addresses in these networks.

    Whoever can write to the storage can write there anything; what is no such address does not reach a configuration. A
    report may be as far in the future as in the past: the storage server's clock was set back since.
    """
    allowed = [ipaddress.ip_network(text) for text in networks]
    known = {name: inside(address, allowed) for name, (address, age) in found.items()
             if -VOID_AFTER <= age <= VOID_AFTER and NAME.match(name)}
    return {name: address for name, address in known.items() if address is not None}


def silenced(host: Host, me: Me, found: Dict[str, Tuple[str, float]], servers: Dict[str, str]) -> bool:
    """Whether all others seem to have fallen silent since the last look; believed at the next.

    A step of the storage server's clock makes the reports of all others look old, or ahead, until each has reported
    again. If each server then saw only itself, all would work on everybody's mail. Who said goodbye, or that he does
    not serve, is believed at once, and so is the silence of some: no step of a clock does that.
    """
    known = host.read(SEEN)
    before: Dict[str, Any] = json.loads(known.decode("ascii")) if known else {"others": [], "doubted": False}
    others = sorted(name for name in servers if name != me.name)
    silent = [name for name in before["others"] if found.get(name, ("", 0.0))[0]]
    doubted = bool(silent) and not others and not before["doubted"]
    now = json.dumps({"others": before["others"] if doubted else others, "doubted": doubted}, sort_keys=True)
    if now.encode("ascii") != known:
        host.write(SEEN, now.encode("ascii"))
    return doubted


def inside(text: str, networks: Iterable[Network]) -> Optional[str]:
    """An address in one of the networks, as Dovecot is told of it; None: it is none."""
    try:
        # A scope (`fe80::1%eth0`) may be any text, and means something else on each server.
        address = ipaddress.ip_address("" if "%" in text else text)
    except ValueError:
        return None
    return str(address) if any(address in one for one in networks) else None


def owners(names: Iterable[str]) -> List[str]:
    """Whose each slot is; empty without servers."""
    known = sorted(names)
    return [max(known, key=lambda name: _weight(slot, name)) for slot in range(SLOTS)] if known else []


def content(chosen: List[str], servers: Dict[str, str], me: Me, pass_on: Iterable[PassOn]) -> bytes:
    """Dovecot's passwd-file: `port/slot` and, of slots of others, where they are passed on to.

    The password was checked before this is asked. For mail (all ports without TLS) `destuser` keeps the envelope's
    recipient; a login is passed on as the user whom the directory knows, a master user's with his own name and password
    beside it. Without TLS the host is the address itself: there is nothing to compare a name with.
    """
    lines = []
    for rule in pass_on:
        for slot, name in enumerate(chosen):
            if name == me.name:
                continue
            address = servers[name]
            where = ("host={} hostip={} starttls=yes port={}".format(me.host, address, rule.to) if rule.tls else
                     "host={} port={} destuser=%{{orig_user}}".format(address, rule.to))
            lines.append("{}/{:02x}:::::::nopassword=y proxy=y {}\n".format(rule.port, slot, where))
    return "".join(lines).encode("ascii")


def covered(names: Iterable[str], hostname: str) -> str:
    """A name that a certificate with these names covers.

    Raises:
        StepError: it has none.
    """
    for name in names:
        return name.replace("*", hostname, 1)
    raise StepError("the certificate has no DNS name",
                    "The servers of this layer check each other's certificate: give it the layer's name.")


def _weight(slot: int, name: str) -> bytes:
    return hashlib.sha256("{}/{}".format(slot, name).encode("utf-8")).digest()
