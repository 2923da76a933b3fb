"""The mailboxes on real NFS: the storage server's image and two mailbox servers under QEMU, the rest in containers."""

from __future__ import annotations

import pytest
from conftest import Lab

from mailimg.lab import checks

pytestmark = pytest.mark.boot


def test_two_servers_share_mailboxes_that_outlive_their_storage_server(nfs_lab: Lab) -> None:
    mount = nfs_lab.run("shell", "pop-imap-lda-2", "findmnt", "-no", "FSTYPE,SOURCE", "/MAILBOXES").stdout.split()
    assert mount == ["nfs", "nfs.cloud.example.org:/NFSVOL"]
    result = nfs_lab.proved("storage")
    ((_, group),) = checks.find(["storage"])
    assert [one["name"] for one in result["checks"]] == [check for check, _ in group.checks()]
