"""What `apply` leaves alone in the real Heat: servers that run keep their document, their ports and their volume."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cloud
import pytest
import stack_site
import yaml
from cloud.member import image
from stack_site import Platform
from test_stack_cloud import credentials, secrets, sized
from test_stack_cloud import told as credential

from mailimg.store import DEFAULT_ROOT

pytestmark = pytest.mark.lab
NAME = "mail"
KEPT = "of its servers keep the document that they were made with: `mailimg stack roll --role smtp-in --again`"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A stack of three roles: storage, one mailbox server, two of smtp-in."""
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache", *cloud.ALL) as rig:
        made = stack_site.make(rig, tmp_path_factory.mktemp("platform"))
        done = made.apply(NAME, "--environment", "environment.yaml")
        assert done.status == 0, done.err
        yield made


def untouched(platform: Platform) -> bool:
    """Whether no server has lost a port or a volume."""
    taken = platform.rig.infrastructure.taken
    return taken("os-interface") == taken("os-volume_attachments") == []


def told(platform: Platform, count: int) -> None:
    """Let the document of smtp-in say something else."""
    site = yaml.safe_load(platform.site.read_text())
    site["tuning"]["smtp-in"]["amavis_workers"] = count
    platform.site.write_text(yaml.safe_dump(site))


def workers(platform: Platform) -> dict[str, int]:
    """What the document of each server of smtp-in says that another does not."""
    return {one: platform.fleet.members[one].document["tuning"]["smtp-in"]["amavis_workers"]
            for one in platform.servers("smtp-in")}


def alone(platform: Platform, name: str, role: str) -> list[str]:
    """`apply` of one role, with what it must be told."""
    parameters = ("server_network=servers", "user_networks=192.0.2.0/24", f"{role.replace('-', '_')}_flavor=m1.small",
                  "balancer_subnet=7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001")
    return ["apply", "--site", str(platform.site), "--name", name, "--distro", "debian-12", "--role", role,
            *(word for one in parameters for word in ("--parameter", one))]


def earlier(platform: Platform) -> str:
    """A credential of other rules, as servers may have it that were made with an earlier document."""
    me = platform.rig.project().me
    parts = next(one["name"] for one in credentials(platform) if ":smtp-in:" in one["name"]).split(":")
    name = ":".join([*parts[:3], "0" * 12, *parts[4:]])
    me.post("identity", f"/users/{me.user}/application_credentials", {"application_credential": {"name": name}})
    return name


@pytest.fixture(scope="module")
def given(platform: Platform) -> dict[str, str]:
    """The credential that the first servers of smtp-in were made with; then somebody deletes its secret in Barbican."""
    found, me = credential(platform, "smtp-in"), platform.rig.project().me
    for one in me.get("key-manager", "/v1/secrets")["secrets"]:
        if one["name"].startswith(f"mailimg:{NAME}:smtp-in:"):
            me.request("key-manager", "DELETE", f"/v1/secrets/{one['secret_ref'].rpartition('/')[2]}")
    return found


def test_another_document_is_for_servers_that_come_later(platform: Platform, given: dict[str, str]) -> None:
    """Heat is told of another secret, too; who has the earlier credential keeps it as long as it runs."""
    before, others = platform.servers("smtp-in"), [*platform.servers("pop-imap-lda"), *platform.servers("nfs")]
    name = earlier(platform)
    told(platform, 6)
    done = platform.apply(NAME, "--environment", "environment.yaml")
    assert done.status == 0, done.err
    assert platform.servers("smtp-in") == before
    assert f"smtp-in: 2 {KEPT}" in done.err
    assert "nfs: its server" not in done.err
    platform.signal(NAME, "smtp_in_scale_out")
    platform.until("a third", lambda: sized(platform, 3) and len(platform.members(NAME, "smtp_in_smtp_pool")) == 3)
    assert [workers(platform)[one] for one in before] == [4, 4]
    assert name in [one["name"] for one in credentials(platform)], "servers that have it can no longer leave"
    assert given["id"] in [one["id"] for one in credentials(platform)], "nor these"
    assert sorted(workers(platform).values()) == [4, 4, 6]
    # It is said for as long as it is so, and only of those that it is true of.
    done = platform.apply(NAME, "--environment", "environment.yaml")
    assert done.status == 0, done.err
    assert f"smtp-in: 2 {KEPT}" in done.err
    assert [*platform.servers("pop-imap-lda"), *platform.servers("nfs")] == others
    assert untouched(platform)


def test_a_roll_brings_the_document_and_the_old_servers_leave_in_order(
        platform: Platform, given: dict[str, str]) -> None:
    before = platform.servers("smtp-in")
    there: list[tuple[str, int]] = []
    platform.fleet.leaving = lambda member: not there.append(
        (member.id, len(platform.members(NAME, "smtp_in_smtp_pool"))))
    done = platform.run("roll", "--role", "smtp-in", "--name", NAME, "--again", "--json")
    platform.fleet.leaving = platform.leave
    assert done.status == 0, done.err
    gone = [one["server"] for one in done.json["gone"]]
    assert sorted(gone) == sorted(before)
    assert [next(count for one, count in there if one == server) for server in gone] == [6, 5, 4]
    assert set(workers(platform).values()) == {6}
    assert len(workers(platform)) == 3
    assert untouched(platform)
    done = platform.apply(NAME, "--environment", "environment.yaml", "--parameter", "smtp_in_size=2")
    assert done.status == 0, done.err
    assert "keep the document" not in done.err
    assert f"application credential mailimg:{NAME}:smtp-in:000000000000" in done.err
    assert len(workers(platform)) == 2
    assert given["id"] not in [one["id"] for one in credentials(platform)]
    assert given["secret"] != credential(platform, "smtp-in")["secret"]
    assert (len(credentials(platform)), len(secrets(platform))) == (3, 3)


def test_a_document_that_new_servers_fail_with_is_taken_back(platform: Platform) -> None:
    before = platform.servers("smtp-in")
    told(platform, 7)
    assert platform.apply(NAME, "--environment", "environment.yaml").status == 0
    platform.fleet.served = False
    done = platform.run("roll", "--role", "smtp-in", "--name", NAME, "--again")
    platform.fleet.served = True
    assert done.status == 1
    assert "no virus database" in done.err
    assert ("Back: `mailimg stack apply` with the site document from before, then the same command with --again."
            in done.err)
    assert sorted(platform.members(NAME, "smtp_in_smtp_pool")) == sorted(f"mailimg-{one}" for one in before)
    told(platform, 6)
    done = platform.apply(NAME, "--environment", "environment.yaml")
    assert done.status == 0, done.err
    assert done.err.count("did not get ready: is made anew") == 2
    assert set(before) < set(platform.servers("smtp-in"))
    done = platform.run("roll", "--role", "smtp-in", "--name", NAME, "--again")
    assert done.status == 0, done.err
    assert list(workers(platform).values()) == [6, 6]
    assert not set(before) & set(workers(platform))
    assert untouched(platform)


def test_storage_is_never_replaced_whatever_its_document_says(platform: Platform) -> None:
    before, known = platform.servers("nfs"), {one["name"] for one in credentials(platform)}
    site = yaml.safe_load(platform.site.read_text())
    site["leave"] = {**site.get("leave", {}), "deadline": 61}
    platform.site.write_text(yaml.safe_dump(site))
    done = platform.apply(NAME, "--environment", "environment.yaml")
    assert done.status == 0, done.err
    assert platform.servers("nfs") == before
    assert "nfs: its server keeps the document that it was made with until it is made anew" in done.err
    assert f"pop-imap-lda: 1 {KEPT.replace('smtp-in', 'pop-imap-lda')}" in done.err
    assert {one["name"] for one in credentials(platform)} == known
    assert untouched(platform)


def test_what_would_replace_servers_is_refused_all_at_once(platform: Platform) -> None:
    project, stack = platform.rig.project(), platform.stack(NAME)
    before = stack["updated_time"], len(platform.rig.infrastructure.changes)
    other = image(project, "smtp-in", ticket=0)
    held = next(one["output_value"] for one in stack["outputs"] if one["output_key"] == "nfs_volume")
    changes = {"smtp_in_image": other, "nfs_image": "another", "key_name": "k", "server_network": "elsewhere",
               "nfs_volume": "7d8f4f0e-2c41-4f0e-9a55-0d8b5f8f2a10", "nfs_address": "10.20.0.9", "wait_for_leave": "no"}
    done = platform.apply(NAME, "--environment", "environment.yaml", *(
        word for name, value in changes.items() for word in ("--parameter", f"{name}={value}")))
    assert done.status == 2
    for words in (f"`mailimg stack roll --role smtp-in --image {other}`",
                  "parameter key_name: servers run with '', not 'k'", "parameter nfs_image: servers of nfs run",
                  "`mailimg stack apply --parameter nfs_volume=ID`",
                  "parameter server_network: servers run with 'servers', not 'elsewhere'",
                  f"its mailboxes are on {held}", "parameter nfs_address", "parameter wait_for_leave"):
        assert words in done.err
    done = platform.run(*alone(platform, NAME, "smtp-in"))
    assert done.status == 2
    assert "has servers of nfs, and this platform has none" in done.err
    assert "has servers of pop-imap-lda, and this platform has none" in done.err
    assert (platform.stack(NAME)["updated_time"], len(platform.rig.infrastructure.changes)) == before


def test_the_volume_is_used_again_and_not_forgotten(platform: Platform) -> None:
    """As after a stack that was deleted."""
    assert platform.run("delete", "--name", NAME, "--yes").status == 0
    volumes = [one["id"] for one in platform.rig.infrastructure.all("volumes")]
    [kept] = volumes
    words = alone(platform, "heir", "nfs")
    platform.fleet.served = False
    done = platform.run(*words, "--parameter", f"nfs_volume={kept}", "--parameter", "key_name=k")
    platform.fleet.served = True
    assert done.status == 1
    assert "The storage server did not get ready, and is not made anew by another `apply`" in done.err
    # Somebody mends it and runs the agent again.
    [server] = platform.servers("nfs")
    platform.fleet.members[server].machine.boot()
    done = platform.run(*words, "--json")
    assert done.status == 0, done.err
    assert done.json["outputs"]["nfs_volume"] == kept
    assert platform.servers("nfs") == [server]
    assert [one["id"] for one in platform.rig.infrastructure.all("volumes")] == volumes
    done = platform.run(*words, "--parameter", "nfs_volume=7d8f4f0e-2c41-4f0e-9a55-0d8b5f8f2a10")
    assert done.status == 2
    assert f"its mailboxes are on {kept}" in done.err
    assert platform.run("delete", "--name", "heir", "--yes").status == 0
    assert platform.rig.infrastructure.taken("os-interface") == []
