"""What Heat really does when a server's deletion has to wait: with an answer, without one, with the server gone."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloud
import pytest
import stack_group
import stack_site
import yaml
from cloud.client import Client
from cloud.machine import SPOOL
from cloud.member import image
from cloud.seeding import Identity
from cloud.settings import PASSWORD, REGION
from keystoneauth1.exceptions import http
from stack_group import Group
from stack_site import filled

from mailimg.stack import render
from mailimg.store import DEFAULT_ROOT

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def rig() -> Iterator[cloud.Rig]:
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache", *cloud.ALL) as made:
        for role in (*stack_site.ROLES, "smtp-out", "sogo"):
            image(made.project(), role)
        yield made


def test_a_server_that_does_not_answer_stays_and_a_second_deletion_finds_it(rig: cloud.Rig) -> None:
    group = Group(rig, "silent", minutes=1)
    begun = time.monotonic()
    group.delete()
    group.until("DELETE_FAILED")
    assert time.monotonic() - begun > 50, "it did not wait"
    assert group.there, "the server was deleted with its mail"
    assert "Timed out" in group.refusal()
    group.answers = True
    group.delete()
    group.until("")
    assert not group.there
    assert group.fleet.left[group.server] < time.time()


@pytest.mark.parametrize(("policy", "replaced"), [("IGNORE", False), ("REPLACE", True)])
def test_heat_takes_the_ports_of_a_server_that_it_replaces(rig: cloud.Rig, policy: str, replaced: bool) -> None:
    """Why no server is to be replaced; and that here it would be seen."""
    group, infrastructure = Group(rig, f"policy-{policy.lower()}", minutes=5), rig.infrastructure
    before = len(infrastructure.taken("os-interface"))
    group.answers = True
    text = stack_group.files()[render.MEMBER]
    assert text.count("user_data_update_policy: IGNORE") == 1
    leave = {"heat": True, "deadline": 61, "flush": 1, "handover": 1}
    group.me.request("orchestration", "PUT", f"/stacks/{group.name}/{group.stack()['id']}", {
        "template": stack_group.template(*group.credential, leave=leave), "timeout_mins": 5,
        "files": {render.MEMBER: text.replace("update_policy: IGNORE", f"update_policy: {policy}")}})
    group.until("UPDATE_COMPLETE")
    assert infrastructure.taken("os-interface")[before:] == ([group.server] if replaced else [])
    assert group.there is not replaced
    if replaced:
        changes = [(method, path.split("/")[-2 if method == "DELETE" else -1])
                   for _, method, path in infrastructure.changes]
        made = max(index for index, one in enumerate(changes) if one == ("POST", "servers"))
        assert changes.index(("DELETE", "os-interface")) < made, "its ports stayed until another was there"
    group.delete()
    group.until("")


def test_a_server_that_cannot_leave_says_so_and_stays(rig: cloud.Rig) -> None:
    group = Group(rig, "refusing", minutes=3, mail=("4gNk1R2mB7z1", "4gNk1S5pWqz2"))
    group.answers = True
    begun = time.monotonic()
    group.delete()
    group.until("DELETE_FAILED")
    assert time.monotonic() - begun < 60, "it is told at once"
    assert group.there
    assert group.member.machine.state == "failed"
    reason = group.refusal()
    assert "leave: handover: 2 messages left in the queue: 4gNk1R2mB7z1 4gNk1S5pWqz2" in reason
    assert "Give leave.siblings, or deliver it by hand" in reason
    assert group.member.machine.waiting() == [], "nothing is tried until Heat asks again"
    for message in group.member.machine.host.path(SPOOL + "/deferred").iterdir():
        message.unlink()
    group.delete()
    group.until("")
    assert group.member.machine.state == "left"


def test_a_server_that_is_gone_is_not_waited_for(rig: cloud.Rig) -> None:
    group = Group(rig, "gone", minutes=3)
    group.delete()
    rig.infrastructure.things["servers"].pop(group.server)
    begun = time.monotonic()
    group.until("")
    assert time.monotonic() - begun < 90


def test_an_operator_can_say_that_it_has_left(rig: cloud.Rig) -> None:
    group = Group(rig, "by-hand", minutes=3)
    group.delete()
    # Heat says DELETE_IN_PROGRESS before it gives the order, and forgets an answer from between the two.
    group.ordered()
    own = next(link["href"] for link in group.drain()["links"] if link["rel"] == "self").partition("/stacks/")[2]
    group.me.request("orchestration", "POST", f"/stacks/{own}/signal", {"deploy_status_code": 0})
    group.until("")
    assert not group.there


def test_the_whole_platform_passes_the_strict_check(rig: cloud.Rig) -> None:
    me = rig.project().me
    reference = f"{rig.project().rig_url()}/v1/secrets/{rig.project().secret(b'x' * 43, 'passphrase')}"
    files, parameters = filled(reference)
    everything = {"public_network": "outside", "admin_network": "10.0.0.0/8", "key_name": "k",
                  "nfs_address": "10.20.0.5", "nfs_volume": "7d8f4f0e-2c41-4f0e-9a55-0d8b5f8f2a10",
                  "sogo_certificate": "https://barbican.example.org/v1/containers/7d8f4f0e"}
    for more in ({}, {"wait_for_leave": False}, everything):
        body = {"stack_name": "whole", "template": files[render.PLATFORM], "parameters": {**parameters, **more},
                "files": {render.MEMBER: files[render.MEMBER]}}
        me.post("orchestration", "/validate", {key: body[key] for key in ("template", "parameters", "files")})
        assert me.post("orchestration", "/stacks/preview", body)["stack"]["stack_name"] == "whole"


@pytest.mark.parametrize(("file", "right", "wrong", "words"), [
    (render.PLATFORM, "lb_algorithm: LEAST_CONNECTIONS", "lb_algorithm: LEAST", "LEAST"),
    (render.PLATFORM, "protocol_port: 4190", "protocol_prot: 4190", "protocol_prot"),
    # Of what is in a group it looks at names, not at values.
    (render.MEMBER, "image_update_policy: REPLACE", "image_updating_policy: REPLACE", "image_updating_policy"),
    (render.MEMBER, "signal_transport: HEAT_SIGNAL", "signal_transports: HEAT_SIGNAL", "signal_transports"),
])
def test_the_strict_check_is_strict(rig: cloud.Rig, file: str, right: str, wrong: str, words: str) -> None:
    reference = f"{rig.project().rig_url()}/v1/secrets/{rig.project().secret(b'x' * 43, 'passphrase')}"
    files, parameters = filled(reference)
    assert right in files[file]
    files[file] = files[file].replace(right, wrong)
    with pytest.raises(http.BadRequest, match=words):
        rig.project().me.post("orchestration", "/stacks/preview", {
            "stack_name": "wrong", "template": files[render.PLATFORM], "parameters": parameters,
            "files": {render.MEMBER: files[render.MEMBER]}})


def test_alarms_can_be_left_out_where_the_cloud_has_none(rig: cloud.Rig) -> None:
    reference = f"{rig.project().rig_url()}/v1/secrets/{rig.project().secret(b'x' * 43, 'passphrase')}"
    files, parameters = filled(reference)
    with pytest.raises(http.BadRequest, match="aodh"):
        rig.project().me.post("orchestration", "/stacks/preview", {
            "stack_name": "alarms", "template": files[render.PLATFORM], "parameters": {**parameters, "alarms": True},
            "files": {render.MEMBER: files[render.MEMBER]}})


@pytest.fixture
def alarming(rig: cloud.Rig) -> Iterator[None]:
    """A catalogue that names Aodh, where nobody answers."""
    admin = Client.with_password(rig.keystone, "admin", PASSWORD, "admin", rig.services.ca)
    service = Identity(admin).make("service", name="aodh", type="alarming")
    Identity(admin).make("endpoint", service_id=service, interface="public", region_id=REGION, url="https://127.0.0.1:9")
    yield
    admin.request("identity", "DELETE", f"/services/{service}")


@pytest.mark.usefixtures("alarming")
@pytest.mark.parametrize(("right", "wrong", "words"), [
    ("", "", ""),
    ("comparison_operator: gt", "comparison_operator: above", "comparison_operator"),
    ("granularity: 300", "granularity: often", "granularity"),
    ("aggregation_method: rate:mean", "aggregation: rate:mean", "aggregation"),
])
def test_alarms_pass_the_strict_check_and_it_is_strict(rig: cloud.Rig, right: str, wrong: str, words: str) -> None:
    """As far as Heat goes: nothing is made, and Aodh is not asked what it thinks of them."""
    reference = f"{rig.project().rig_url()}/v1/secrets/{rig.project().secret(b'x' * 43, 'passphrase')}"
    files, parameters = filled(reference)
    assert right in files[render.PLATFORM]
    body = {"stack_name": "alarms", "template": files[render.PLATFORM].replace(right, wrong),
            "parameters": {**parameters, "alarms": True}, "files": {render.MEMBER: files[render.MEMBER]}}
    if words:
        with pytest.raises(http.BadRequest, match=words):
            rig.project().me.post("orchestration", "/stacks/preview", body)
    else:
        made = rig.project().me.post("orchestration", "/stacks/preview", body)["stack"]["resources"]
        # What is in a group is a list in this list.
        assert json.dumps(made).count('"resource_type": "OS::Aodh::') == 8


def test_the_whole_platform_stands_with_all_that_is_optional_and_goes(rig: cloud.Rig, tmp_path: Path) -> None:
    """Every role, TLS that ends at the load balancer, floating addresses, a fixed one, SSH.

    Last: its images have names that those of the others have.
    """
    platform, me = stack_site.make(rig, tmp_path), rig.project().me
    container = yaml.safe_load(platform.site.read_text())["tls"]["container"].removeprefix("barbican:")
    reference = f"{rig.project().rig_url()}/v1/containers/{container}"
    more = {"public_network": "outside", "admin_network": "10.0.0.0/8", "key_name": "k", "nfs_address": "10.20.0.5",
            "sogo_certificate": reference, "sogo_flavor": "m1.small", "smtp_out_flavor": "m1.small"}
    done = platform.run("apply", "--site", str(platform.site), "--name", "whole", "--distro", "debian-12", "--json",
                        "--environment", "environment.yaml",
                        *(word for name, value in more.items() for word in ("--parameter", f"{name}={value}")))
    assert done.status == 0, done.err
    servers = Counter(one["group"] for one in done.json["servers"])
    assert servers == {"nfs": 1, "pop_imap_lda": 1, "smtp_in": 2, "smtp_out": 2, "sogo": 2}
    assert {pool: len(members) for pool, members in done.json["pools"].items()} == {
        "smtp_in_smtp": 2, "smtp_out_smtp": 2, "smtp_out_submission": 2, "smtp_out_smtps": 2, "delivery_smtp": 1,
        "imap_imap": 1, "imap_imaps": 1, "imap_sieve": 1, "pop_pop3": 1, "pop_pop3s": 1, "webmail_http": 2,
        "webmail_https": 2}
    assert len([name for name in done.json["outputs"] if name.endswith("_public_address")]) == len(
        rig.infrastructure.all("floatingips"))

    def of_webmail(kind: str) -> dict[str, Any]:
        identity = platform.resource("whole", f"webmail_https_{kind}")["physical_resource_id"]
        return dict(me.get("load-balancer", f"/v2.0/lbaas/{kind}s/{identity}")[kind])

    listener, pool = of_webmail("listener"), of_webmail("pool")
    assert (listener["protocol"], listener["default_tls_container_ref"]) == ("TERMINATED_HTTPS", reference)
    assert (pool["protocol"], pool["tls_enabled"]) == ("HTTP", True)
    assert platform.run("delete", "--name", "whole", "--yes").status == 0
    assert (rig.infrastructure.all("servers"), rig.infrastructure.all("floatingips")) == ([], [])
    assert me.get("load-balancer", "/v2.0/lbaas/loadbalancers")["loadbalancers"] == []
