"""The mailboxes on real NFS: the storage server's image and two mailbox servers under QEMU, the rest in containers."""

from __future__ import annotations

import pytest
from conftest import Lab

from mailimg.lab import checks

pytestmark = pytest.mark.boot


def test_mail_flows_over_nfs_and_outlives_the_storage_server(nfs_lab: Lab) -> None:
    """Two servers share the mailboxes; the groups run one after the other, as the second cuts the storage's power."""
    mount = nfs_lab.run("shell", "pop-imap-lda-2", "findmnt", "-no", "FSTYPE,SOURCE", "/MAILBOXES").stdout.split()
    assert mount == ["nfs", "nfs.cloud.example.org:/NFSVOL"]
    for name in ("flow", "storage"):
        result = nfs_lab.proved(name)
        ((_, group),) = checks.find([name])
        assert [one["name"] for one in result["checks"]] == [check for check, _ in group.checks()]
