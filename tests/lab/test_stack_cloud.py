"""A platform in the real Heat, Octavia, Barbican and Keystone: made, grown, shrunk, deleted, and what goes wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloud
import pytest
import stack_site
from cloud.member import image
from stack_site import Platform, reader

from mailimg.cloud.images import HEAT
from mailimg.store import DEFAULT_ROOT

pytestmark = pytest.mark.lab
NAME = "mail"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A stack of three roles: storage, one mailbox server, two of smtp-in."""
    with cloud.openstack(Path(os.environ.get("MAILIMG_STORE", DEFAULT_ROOT)) / "cache", *cloud.ALL) as rig:
        made = stack_site.make(rig, tmp_path_factory.mktemp("platform"))
        done = made.apply(NAME, "--environment", "environment.yaml", "--json")
        assert done.status == 0, done.err
        assert "nfs_drain  CREATE_COMPLETE" in done.err
        assert "smtp_in_group  CREATE_COMPLETE" in done.err
        yield made


def credentials(platform: Platform) -> list[dict[str, Any]]:
    me = platform.rig.project().me
    found: list[dict[str, Any]] = me.get("identity", f"/users/{me.user}/application_credentials")[
        "application_credentials"]
    return [one for one in found if one["name"].startswith("mailimg:")]


def secrets(platform: Platform) -> list[str]:
    found = platform.rig.project().me.get("key-manager", "/v1/secrets")["secrets"]
    return [one["name"] for one in found if one["name"].startswith("mailimg:")]


def test_every_server_is_in_its_pools_by_its_own_credential(platform: Platform) -> None:
    assert sorted(platform.members(NAME, "smtp_in_smtp_pool")) == sorted(
        f"mailimg-{one}" for one in platform.servers("smtp-in"))
    assert len(platform.servers("smtp-in")) == 2
    assert platform.members(NAME, "imap_imap_pool") == [f"mailimg-{one}" for one in platform.servers("pop-imap-lda")]
    rules = {one["name"].split(":")[2]: one["access_rules"] for one in credentials(platform)}
    assert set(rules) == {"nfs", "pop-imap-lda", "smtp-in"}
    assert {(one["service"], one["method"]) for one in rules["nfs"]} == {
        ("key-manager", "GET"), ("orchestration", "GET"), ("orchestration", "PUT")}


def told(platform: Platform, role: str) -> dict[str, str]:
    """The application credential of a role's servers, as each of them was told."""
    member = platform.fleet.members[platform.servers(role)[0]]
    return {name.removeprefix("application_credential_"): str(value).removeprefix("literal:")
            for name, value in member.document["cloud"].items() if name.startswith("application_credential_")}


def test_the_secret_is_in_no_parameter_output_or_template(platform: Platform) -> None:
    hidden = [told(platform, role)["secret"] for role in stack_site.ROLES]
    assert min(map(len, hidden)) > 40
    me, places = platform.rig.project().me, platform.stacks(NAME)
    # The platform, two groups for each of two roles, three members.
    assert len(places) == 8
    for place in places:
        for part in ("", "/template", "/environment", "/files"):
            text = json.dumps(me.get("orchestration", place + part))
            assert not [one for one in hidden if one in text], place + part


def test_what_holds_the_secret(platform: Platform) -> None:
    """As docs/stack.md says ("Credentials and secrets"), and who may see it: who may only read."""
    secret, me = told(platform, "smtp-in")["secret"], reader(platform.rig)
    configs = [me.get("orchestration", f"/software_configs/{one['id']}") for one in me.get(
        "orchestration", "/software_configs")["software_configs"]]
    # Document and user data of each of two servers.
    assert sum(secret in json.dumps(one) for one in configs) == 4
    kinds = set()
    for place in platform.stacks(NAME):
        for one in me.get("orchestration", f"{place}/resources")["resources"]:
            path = f"{place}/resources/{one['resource_name']}?with_attr=decrypted_payload"
            shown = me.get("orchestration", path)["resource"]
            kinds |= {one["resource_type"]} if secret in json.dumps(shown) else set()
        for one in me.get("orchestration", f"{place}/events")["events"]:
            event = "/stacks/" + one["links"][0]["href"].partition("/stacks/")[2]
            shown = me.get("orchestration", event)["event"]
            kinds |= {f"event of {shown['resource_type']}"} if secret in json.dumps(shown) else set()
    # Not OS::Barbican::Secret: its `decrypted_payload` is read with the asker's own rights in Barbican.
    assert kinds == {"OS::Heat::SoftwareConfig", "event of OS::Heat::SoftwareConfig", "OS::Heat::MultipartMime"}


def test_sessions_may_be_silent(platform: Platform) -> None:
    listener = platform.resource(NAME, "imap_imap_listener")["physical_resource_id"]
    found = platform.rig.project().me.get("load-balancer", f"/v2.0/lbaas/listeners/{listener}")["listener"]
    assert (found["timeout_client_data"], found["timeout_member_data"]) == (1860000, 1860000)
    assert found["allowed_cidrs"] == ["192.0.2.0/24", "10.20.0.0/24"] or found["allowed_cidrs"] == ["192.0.2.0/24"]


def test_status(platform: Platform) -> None:
    found = platform.run("status", "--name", NAME, "--json")
    assert found.status == 0
    assert found.json["status"] == "CREATE_COMPLETE"
    assert sorted(one["group"] for one in found.json["servers"]) == ["nfs", "pop_imap_lda", "smtp_in", "smtp_in"]
    assert len(found.json["pools"]["smtp_in_smtp"]) == 2
    assert platform.run("status", "--name", "other").status == 2


def test_again_changes_nothing(platform: Platform) -> None:
    before = platform.servers("smtp-in"), [one["id"] for one in credentials(platform)], len(secrets(platform))
    done = platform.apply(NAME, "--environment", "environment.yaml")
    assert done.status == 0, done.err
    assert (platform.servers("smtp-in"), [one["id"] for one in credentials(platform)], len(secrets(platform))) == before
    assert platform.stack(NAME)["stack_status"] == "UPDATE_COMPLETE"


def test_groups_grow_and_shrink_by_signals_and_a_server_leaves_before_it_is_deleted(platform: Platform) -> None:
    before = platform.servers("smtp-in")
    platform.signal(NAME, "smtp_in_scale_out")
    platform.until("three members", lambda: len(platform.members(NAME, "smtp_in_smtp_pool")) == 3)
    platform.until("its signal was taken", lambda: sized(platform, 3))
    added = (set(platform.servers("smtp-in")) - set(before)).pop()
    # Not before the server says so, however long it takes.
    asked: list[str] = []

    def hesitate(member: Any) -> bool:
        asked.append(member.id)
        assert member.id not in platform.rig.infrastructure.deleted("servers")
        return len(asked) > 12

    platform.fleet.leaving = hesitate
    platform.shrink(NAME, "smtp_in_scale_in", lambda: bool(asked))
    platform.until("a server is deleted", lambda: len(platform.servers("smtp-in")) == 2)
    platform.fleet.leaving = platform.leave
    gone = asked[0]
    assert set(asked) == {gone}
    assert gone in before, "the oldest goes, not the one that has just come"
    assert added in platform.servers("smtp-in")
    assert len(asked) > 12
    assert sorted(platform.members(NAME, "smtp_in_smtp_pool")) == sorted(
        f"mailimg-{one}" for one in platform.servers("smtp-in"))
    platform.until("the group is done", lambda: sized(platform, 2))


def sized(platform: Platform, size: int) -> bool:
    """Whether a group has that many members and nothing is being done with it."""
    group = platform.resource(NAME, "smtp_in_group")
    inner = platform.rig.project().me.get("orchestration", f"/stacks/{group['physical_resource_id']}")["stack"]
    return len(platform.servers("smtp-in")) == size and not inner["stack_status"].endswith("IN_PROGRESS")


def test_wrong_parameters_all_at_once(platform: Platform) -> None:
    done = platform.apply("second", "--parameter", "server_netwrok=x", "--parameter", "nfs_flavor=...")
    assert done.status == 2
    for words in ("'server_netwrok': the template has none of that name (did you mean 'server_network'?)",
                  "parameter nfs_flavor: is not filled in", "parameter balancer_subnet: is missing",
                  "parameter smtp_in_flavor: is missing"):
        assert words in done.err
    assert not [one for one in credentials(platform) if ":second:" in one["name"]]


def test_no_promoted_image(platform: Platform) -> None:
    done = platform.apply("second", "--environment", "environment.yaml", "--channel", "testing")
    assert done.status == 2
    assert done.err.count("no image is promoted to testing") == 3


def test_what_heat_refuses_is_told_in_its_words_and_costs_nothing(platform: Platform) -> None:
    project = platform.rig.project()
    large = image(project, "nfs", ticket=0)
    project.me.request("image", "PATCH", f"/v2/images/{large}", data=json.dumps(
        [{"op": "replace", "path": "/min_disk", "value": 8}]), headers={
            "Content-Type": "application/openstack-images-v2.1-json-patch"})
    done = platform.apply("second", "--environment", "environment.yaml", "--parameter", f"nfs_image={large}")
    assert done.status == 1
    assert (f"error: let Heat check every resource: orchestration: 400 Image {large} requires 8 GB minimum disk space."
            " Flavor m1.small has only 0 GB\n") in done.err
    assert not [one for one in credentials(platform) if ":second:" in one["name"]]
    assert not [one for one in secrets(platform) if ":second:" in one]


def test_an_image_whose_agent_does_not_ask_heat(platform: Platform) -> None:
    project = platform.rig.project()
    old = image(project, "smtp-in")
    project.me.request("image", "PATCH", f"/v2/images/{old}", data=json.dumps(
        [{"op": "remove", "path": f"/{HEAT}"}, {"op": "remove", "path": "/mailimg_channel_stable"}]),
        headers={"Content-Type": "application/openstack-images-v2.1-json-patch"})
    done = platform.apply("second", "--environment", "environment.yaml", "--parameter", f"smtp_in_image={old}")
    assert done.status == 2
    assert f"smtp-in: image mailimg-smtp-in ({old}) is too old for a stack: its agent does not ask Heat" in done.err


def test_a_server_that_fails_is_named_with_its_reason(platform: Platform) -> None:
    platform.fleet.served = False
    words = ["apply", "--site", str(platform.site), "--name", "broken", "--distro", "debian-12", "--role", "smtp-in"]
    for one in ("server_network=servers", "user_networks=192.0.2.0/24", "smtp_in_size=1", "smtp_in_min=0",
                "smtp_in_flavor=m1.small", "balancer_subnet=7f0f7a7e-0d5c-4b64-9a0f-31b0f8a7c001"):
        words += ["--parameter", one]
    done = platform.run(*words)
    platform.fleet.served = True
    assert done.status == 1
    assert "ready" in done.err
    assert "no virus database" in done.err
    found = platform.run("status", "--name", "broken", "--json")
    assert found.status == 1
    assert found.json["failed"][0]["resource"].endswith("/ready")
    before = broken(platform)
    done = platform.run(*words)
    assert done.status == 0, done.err
    assert "did not get ready: is made anew" in done.err
    assert len(broken(platform)) == 1
    assert not broken(platform) & before
    assert platform.run("delete", "--name", "broken", "--yes").status == 0


def broken(platform: Platform) -> set[str]:
    found = platform.run("status", "--name", "broken", "--json").json["servers"]
    return {one["id"] for one in found}


def test_delete_asks_first(platform: Platform) -> None:
    done = platform.run("delete", "--name", NAME, given="n\n")
    assert done.status != 0
    assert len(platform.servers("smtp-in")) == 2


def test_delete_layer_by_layer_and_keep_the_volume(platform: Platform) -> None:
    layers = [platform.servers(role) for role in ("smtp-in", "pop-imap-lda", "nfs")]
    volume = platform.stack(NAME)["outputs"]
    kept = next(one["output_value"] for one in volume if one["output_key"] == "nfs_volume")
    before = len(platform.rig.infrastructure.deleted("servers"))
    done = platform.run("delete", "--name", NAME, "--yes")
    assert done.status == 0, done.err
    assert f"volume {kept}: kept" in done.out
    assert [done.out.count(f"{kind} mailimg:{NAME}:") for kind in ("application credential", "secret")] == [3, 3]
    assert kept in [one["id"] for one in platform.rig.infrastructure.all("volumes")]
    order = platform.rig.infrastructure.deleted("servers")[before:]
    assert [sorted(part) for part in (order[:2], order[2:3], order[3:])] == [sorted(layer) for layer in layers]
    for identity in order:
        assert platform.fleet.left[identity]
    assert credentials(platform) == []
    assert secrets(platform) == []
    assert platform.run("delete", "--name", NAME, "--yes").status == 2
    assert platform.rig.infrastructure.taken("os-interface") == []
