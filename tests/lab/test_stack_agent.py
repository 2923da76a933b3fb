"""The agent's command and the real Heat: a server that is to leave is killed, interrupted, asked twice, cut off."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import cloud
import leaver
import oldest_python
import pytest
from cloud.machine import Machine
from cloud.member import Fleet, image
from stack_group import SITE, Group, credential, files, template

from mailimg.stack import document
from mailimg.store import DEFAULT_ROOT
from mailimg_firstboot import orders, wayout
from mailimg_firstboot.cloud import barbican
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.waiting import Clock

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def rig() -> Iterator[cloud.Rig]:
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache", *cloud.ALL) as made:
        image(made.project(), "smtp-in")
        yield made


def test_a_server_that_has_left_already_is_let_go(rig: cloud.Rig) -> None:
    group = Group(rig, "before", minutes=3)
    wayout.leave(group.member.machine.host, Clock(), group.member.machine.options)
    assert group.member.machine.state == "left"
    group.answers = True
    group.delete()
    group.until("")


def test_leaving_may_take_many_looks_and_be_killed(rig: cloud.Rig) -> None:
    """The command itself, in a process of its own; a client's session holds it up."""
    group = Group(rig, "long", minutes=4)
    root = group.member.machine.host.root
    group.delete()
    order = group.ordered()
    leaver.busy(root)
    for ends in ("killed", "asked twice", "in peace"):
        with leaver.begun(sys.executable, root) as process:
            leaver.until(root, "sessions")
            # A second look, while the first is at work: it leaves that alone.
            assert group.member.machine.watch() == ""
            assert group.member.machine.waiting() == [order]
            if ends == "killed":
                process.kill()
            elif ends == "asked twice":
                process.send_signal(signal.SIGTERM)
            else:
                leaver.idle(root)
            assert process.wait(60) == {"killed": -9, "asked twice": 130, "in peace": 0}[ends]
    assert group.member.machine.state == "left"
    group.until("")
    assert not group.there


def test_a_cloud_that_is_away_meanwhile_is_told_later(rig: cloud.Rig) -> None:
    """Heat's engine gives up what it was doing when it ends; the next deletion finds a server that has left."""
    group = Group(rig, "away", minutes=4)
    machine, root = group.member.machine, group.member.machine.host.root
    group.delete()
    group.ordered()
    machine.host.path(orders.TOKEN).unlink()
    with rig.down("keystone"), leaver.begun(sys.executable, root) as process:
        assert process.wait(60) == 0
    assert "ask Heat whether this server is to leave: Connection refused" in (root / "said").read_text()
    assert machine.state == "ready", "it serves on"
    leaver.busy(root)
    with leaver.begun(sys.executable, root) as process:
        leaver.until(root, "sessions")
        with rig.down("heat"):
            leaver.idle(root)
            leaver.until(root, "secrets")
            time.sleep(2)
            assert process.poll() is None, "it goes on trying"
        assert process.wait(90) == 0
    group.answers = True
    group.delete()
    group.until("")


def test_a_credential_that_may_not_ask(rig: cloud.Rig, tmp_path: Path) -> None:
    made = rig.project().credential(barbican.RULES)
    site = {key: value for key, value in SITE.items() if key != "signal"}
    site["cloud"] = {"auth_url": rig.keystone, "ca": rig.ca, "application_credential_id": made.id,
                     "application_credential_secret": f"literal:{made.secret}"}
    meta = {"uuid": str(uuid.uuid4()), "hostname": "mx-1"}
    machine = Machine(tmp_path, "smtp-in", meta, document.text(site).encode())
    machine.boot()
    with pytest.raises(StepError, match="ask Heat whether this server is to leave: 401") as caught:
        machine.waiting()
    assert "{service: orchestration, method: GET, path: /v1/*/software_deployments}" in caught.value.hint
    assert machine.watch() == caught.value.message, "the unit fails, so that monitoring sees it"
    assert machine.state == "ready", "it serves on"


def test_the_oldest_python_answers(rig: cloud.Rig, store_root: Path) -> None:
    found = oldest_python.interpreter()
    if found is None:
        pytest.skip(oldest_python.ABSENT)
    python = oldest_python.environment(found, store_root / "cache", oldest_python.KEYSTONEAUTH)
    group = Group(rig, "oldest", minutes=4)
    root = group.member.machine.host.root
    with leaver.begun(str(python), root) as process:
        assert process.wait(60) == 0
    assert group.member.machine.state == "ready", "no order, nothing done"
    group.delete()
    group.ordered()
    with leaver.begun(str(python), root) as process:
        assert process.wait(60) == 0
    group.until("")
    assert not group.there
    said = (root / "said").read_text()
    assert "told Heat: left: smtp-in " in said
    assert group.member.document["cloud"]["application_credential_secret"].removeprefix("literal:") not in said


def test_a_secret_that_cannot_be_opened_is_told_at_once(rig: cloud.Rig) -> None:
    """Not when the time for a boot is over; its credential may not read secrets. Last: the server stays as it is."""
    me, fleet = rig.project().me, Fleet(rig)
    account = {"login": "svc-delivery", "password": f"barbican:{uuid.uuid4()}"}
    me.post("orchestration", "/stacks", {
        "stack_name": "locked", "template": template(*credential(rig), relay_account=account), "timeout_mins": 3,
        "files": files()})
    begun = time.monotonic()
    while me.get("orchestration", "/stacks/locked")["stack"]["stack_status"] == "CREATE_IN_PROGRESS":
        with suppress(StepError):
            fleet.tend()
        time.sleep(0.3)
    assert time.monotonic() - begun < 50, "it waited for the boot's time-out"
    found = me.get("orchestration", "/stacks/locked/resources?nested_depth=3")["resources"]
    (reason,) = [one["resource_status_reason"] for one in found if one["resource_name"] == "ready"]
    assert "metadata: read secret" in reason
    assert "401" in reason
