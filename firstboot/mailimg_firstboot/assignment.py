"""Whose server works on whose mail: one at a time, because two that work on one mailbox over NFS damage it.

Dovecot hashes each user into one of `SLOTS` slots (`%2.256Nu` in its configuration) and looks the slot up in a file
that is kept here. A slot of another server's has a line for each port, which says where to pass the user on to; a slot
of this server's has none. The servers know of each other by the storage that they share (`onstorage.report`), and each
works the same out for itself, so nothing but that storage has to be there.

Each slot goes to the server whose hash together with the slot is highest: one that comes or goes moves its own share
and nobody else's.
"""

import hashlib
from typing import Dict, Iterable, List, NamedTuple, Tuple

from mailimg_firstboot import moving, roster
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rolefile import Assignment, HealthCheck, MountPoint, PassOn, RoleFile

SLOTS = 256

# Seconds that Dovecot waits for a sibling's answer to a message: longer than Postfix waits for Dovecot's
# (lmtp_data_done_timeout, 600). Its own 125 end before a storage server has booted: the sibling files the message when
# the storage is back, and Postfix, who was told that it failed, hands it over once more.
PATIENCE = 620

# Seconds in which a server that leaves ends sessions before it looks again whose they are.
LEAVING = 60.0


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


def refresh(host: Host, role: RoleFile, me: roster.Me) -> Outcome:
    """Report, see who else does, and let Dovecot know; who is no longer this server's is asked to log in anew.

    Nothing is done by a run that `roster.STATE` was taken from meanwhile, or changed: this server leaves, or the next
    run knows better.

    Raises:
        TransientError: the storage does not answer; all stays as it is.
        StepError: Dovecot's own commands failed.
    """
    place, assignment = parts(role)
    # One port stands for all of the daemon's: each question leaves a line in its log.
    serving = host.probe(HealthCheck("tcp", "sibling", assignment.pass_on[0].to, "")) is None
    if roster.read(host) != me:
        return NOTHING
    found = host.nfs.report(place.path, place.owner, place.group, me.name, me.address if serving else "")
    now = roster.read(host)
    if now is None:
        host.nfs.retire(place.path, place.owner, place.group, me.name)
    if now != me:
        return NOTHING
    servers = roster.alive(found, me.networks)
    if roster.silenced(host, me, found, servers):
        moved = moving.go_on(host, assignment.pass_on[0].port, running=serving)
        return Outcome({}, moved.users, False, moved.whole)
    return settle(host, assignment, me, servers, moving.WORK, serving)


def abstain(host: Host, role: RoleFile, me: roster.Me) -> None:
    """Leave all users to the others before the daemon is started; raises as `refresh`.

    Where there are none, the table stays as it was: of servers that were all booted at once, each goes on with its own.
    """
    place, assignment = parts(role)
    servers = roster.alive(host.nfs.report(place.path, place.owner, place.group, me.name, ""), me.networks)
    if servers:
        post(host, assignment, me, servers)


def withdraw(host: Host, role: RoleFile, me: roster.Me) -> Outcome:
    """Leave all users to the others, if there are some; raises as `refresh`. Nobody waits for a report after this."""
    place, assignment = parts(role)
    found = host.nfs.report(place.path, place.owner, place.group, me.name, "")
    host.nfs.retire(place.path, place.owner, place.group, me.name)
    host.remove(roster.SEEN)
    return settle(host, assignment, me, roster.alive(found, me.networks), LEAVING)


def parts(role: RoleFile) -> Tuple[MountPoint, Assignment]:
    """Where servers know of each other, and what they pass on.

    Raises:
        StepError: the role has no such thing.
    """
    if role.mount is None or role.assignment is None:
        raise StepError("users of {} are not assigned to servers".format(role.role))
    return role.mount, role.assignment


def settle(host: Host, assignment: Assignment, me: roster.Me, servers: Dict[str, str], seconds: float,
           running: bool = True) -> Outcome:
    """Write who works for whom, and end the sessions that are another's now, as far as one comes in so many seconds."""
    chosen = owners(servers)
    changed = post(host, assignment, me, servers)
    moved = moving.go_on(host, assignment.pass_on[0].port, seconds, running)
    return Outcome({name: (where, chosen.count(name)) for name, where in servers.items()}, moved.users, changed,
                   moved.whole)


def post(host: Host, assignment: Assignment, me: roster.Me, servers: Dict[str, str]) -> bool:
    """Write who works for whom, with the mark of `moving`; whether it was another before."""
    wanted = content(owners(servers), servers, me, assignment.pass_on)
    changed = host.read(assignment.file) != wanted
    if changed:
        # Before the table: what is cut off in between is gone on with.
        moving.mark(host)
        host.write(assignment.file, wanted)
    if not wanted:
        moving.done(host)
    return changed


def owners(names: Iterable[str]) -> List[str]:
    """Whose each slot is; empty without servers."""
    known = sorted(names)
    return [max(known, key=lambda name: _weight(slot, name)) for slot in range(SLOTS)] if known else []


def content(chosen: List[str], servers: Dict[str, str], me: roster.Me, pass_on: Iterable[PassOn]) -> bytes:
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
                     "host={} port={} proxy_timeout={} destuser=%{{orig_user}}".format(address, rule.to, PATIENCE))
            lines.append("{}/{:02x}:::::::nopassword=y proxy=y {}\n".format(rule.port, slot, where))
    return "".join(lines).encode("ascii")


def _weight(slot: int, name: str) -> bytes:
    return hashlib.sha256("{}/{}".format(slot, name).encode("utf-8")).digest()
