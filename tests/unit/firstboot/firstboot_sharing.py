"""Servers that share the mailboxes, as tests have them."""

from pathlib import Path

from firstboot_certificates import made
from firstboot_machine import INSTANCE, SITE, FakeHost, machine, with_keys, work
from firstboot_pools import POOLED
from firstboot_store import STORED_KEYS

from mailimg_firstboot import roster
from mailimg_firstboot.roster import Me
from mailimg_firstboot.work import Work

NETWORKS = ["10.0.0.0/24", "fd00::/64"]
ME = Me(INSTANCE, "10.0.0.7", "imap.example.org", NETWORKS)
OTHER = "aaaaaaaa-3f4e-4d0e-9a53-7a3f2a1b0c9d"


def serving(path: Path) -> FakeHost:
    """A machine whose role shares a storage."""
    return machine(path, True, True)


def participant(path: Path) -> FakeHost:
    """One that takes part."""
    host = serving(path)
    host.write(roster.STATE, roster.written(ME))
    return host


def goal(host: FakeHost) -> Work:
    """What it is to be, with a certificate."""
    document = with_keys(SITE, **STORED_KEYS, **POOLED, balancer__address=ME.address)
    return work(host, document)._replace(certificate=made())
