"""The platform as a stack: its text from roles and a site document, and what is wrong with either, all at once."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from mailimg.resources import installed
from mailimg.roles import Image, Role, load_image, load_role, role_names
from mailimg.site import keys, usage
from mailimg.stack import access, ages, document, platform, render
from mailimg.stack.apply import misfits
from mailimg_firstboot.cloud import barbican, heat, octavia
from mailimg_firstboot.steps import departure

RESOURCES = installed()
EXAMPLE = render.TEMPLATES / render.EXAMPLE
SITE: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
ROLES = [load_role(RESOURCES, name) for name in role_names(RESOURCES)]
IMAGES = {role.name: load_image(RESOURCES, role.name) for role in ROLES}
USED = {role.name: usage.used(role) for role in ROLES}
TOP = keys.load(RESOURCES)
DONE: dict[str, render.Rendered] = {}


def planned(site: dict[str, Any] = SITE, roles: list[Role] | None = None) -> platform.Platform:
    return platform.plan(roles or ROLES, IMAGES, site)


def rendered(site: dict[str, Any] = SITE) -> render.Rendered:
    text = yaml.safe_dump(site, sort_keys=False)
    if text not in DONE:
        DONE[text] = made(site)
    return DONE[text]


def made(site: dict[str, Any]) -> render.Rendered:
    plan = planned(site)
    texts = {group.name: document.text(document.of_role(site, group, TOP, USED)) for group in plan.groups}
    return render.render(plan, document.Documents(texts, site, (), 1560))


def template(site: dict[str, Any] = SITE) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(rendered(site).files[render.PLATFORM])
    return found


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in SITE.items() if name not in names}


# Who is let in by whom: role, port, by whom. What is not here is not let in.
MATRIX = {
    "nfs": {(port, "pop_imap_lda") for port in (111, 2049, 20048, 32765, 32767)},
    "pop-imap-lda": {(port, "networks") for port in (25, 110, 143, 993, 995, 4190)}
                    | {(port, "each other") for port in (10124, 10110, 10143, 14190)},
    "smtp-in": {(25, "networks")},
    "smtp-out": {(port, "networks") for port in (25, 465, 587)},
    "sogo": {(80, "networks"), (443, "networks")},
}


def test_security_groups_let_in_whom_they_must_and_nobody_else() -> None:
    resources = template()["resources"]
    networks = {str(ipaddress.ip_network(one)) for one in SITE["networks"]}
    found: dict[str, set[tuple[int, str]]] = {}
    for role in MATRIX:
        rules = resources[f"{role.replace('-', '_')}_security"]["properties"]["rules"]
        assert all(rule["protocol"] == "tcp" and rule["port_range_min"] == rule["port_range_max"] for rule in rules)
        found[role] = {(rule["port_range_min"], peer(rule, networks)) for rule in rules}
        # A group that named itself would depend on itself; without a name Heat takes it.
        prefixes = {rule["remote_ip_prefix"] for rule in rules if "remote_ip_prefix" in rule}
        assert prefixes in (set(), networks)
        for rule in rules:
            assert rule.get("ethertype", "IPv4") == f"IPv{6 if ':' in rule.get('remote_ip_prefix', '') else 4}"
    assert found == MATRIX


def peer(rule: dict[str, Any], networks: set[str]) -> str:
    if "remote_group_id" in rule:
        return str(rule["remote_group_id"]["get_resource"]).removesuffix("_security")
    if rule.get("remote_mode") == "remote_group_id":
        return "each other"
    assert rule["remote_ip_prefix"] in networks, "let in from everywhere"
    return "networks"


@pytest.mark.parametrize(("name", "wanted"), [
    ("smtp_in_smtp", None),
    ("delivery_smtp", ["10.20.0.0/24"]),
    ("webmail_https", {"get_param": "user_networks"}),
    ("pop_pop3s", {"get_param": "user_networks"}),
    ("smtp_out_submission", {"list_concat_unique": [{"get_param": "user_networks"}, ["10.20.0.0/24"]]}),
    ("imap_sieve", {"list_concat_unique": [{"get_param": "user_networks"}, ["10.20.0.0/24"]]}),
])
def test_listeners_take_whom_they_are_for(name: str, wanted: Any) -> None:
    assert template()["resources"][f"{name}_listener"]["properties"].get("allowed_cidrs") == wanted


@pytest.mark.parametrize(("name", "algorithm", "persistence", "monitor"), [
    ("smtp_in_smtp", "ROUND_ROBIN", None, "TCP"),
    ("imap_imaps", "ROUND_ROBIN", {"type": "SOURCE_IP"}, "TCP"),
    ("webmail_http", "LEAST_CONNECTIONS", {"type": "SOURCE_IP"}, "HTTP"),
    ("webmail_https", "LEAST_CONNECTIONS", {"type": "SOURCE_IP"}, "HTTPS"),
])
def test_pools_are_as_the_role_says(name: str, algorithm: str, persistence: Any, monitor: str) -> None:
    resources = template()["resources"]
    pool = resources[f"{name}_pool"]["properties"]
    assert (pool["lb_algorithm"], pool.get("session_persistence")) == (algorithm, persistence)
    assert resources[f"{name}_monitor"]["properties"]["type"] == monitor


def test_layers_begin_after_those_that_they_need() -> None:
    after = {group.name: group.after for group in planned().groups}
    assert after == {"nfs": (), "pop-imap-lda": ("nfs",), "smtp-in": ("pop-imap-lda",), "smtp-out": ("pop-imap-lda",),
                     "sogo": ("pop-imap-lda", "smtp-out")}
    assert template()["resources"]["sogo_group"]["depends_on"] == [
        "pop_imap_lda_group", "pop_imap_lda_second_group", "smtp_out_group", "smtp_out_second_group"]


def test_webmail_with_a_database_of_its_own_is_one_server() -> None:
    parameters = template(without("database"))["parameters"]
    assert (parameters["sogo_max"]["default"], parameters["sogo_size"]["default"]) == (1, 1)
    assert "sogo_scale_out" not in template(without("database"))["resources"]
    assert template()["parameters"]["sogo_max"]["default"] == 10


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Everything that a template refers to, as (function, name)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("get_param", "get_resource"):
                yield key, inner if isinstance(inner, str) else inner[0]
            elif key == "get_attr":
                yield "get_resource", inner[0]
            elif key == "condition" and isinstance(inner, str):
                yield "condition", inner
            elif key == "if":
                yield "condition", inner[0]
                yield from references(inner[1:])
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.mark.parametrize("file", [render.PLATFORM, render.MEMBER])
def test_nothing_is_referred_to_that_is_not_there(file: str) -> None:
    found = yaml.safe_load(rendered().files[file])
    there = {"get_param": found["parameters"], "get_resource": found["resources"], "condition": found["conditions"]}
    for kind, name in references(found):
        assert name in there[kind] or name.startswith("OS::"), (kind, name)
    for resource in found["resources"].values():
        depends = resource.get("depends_on", [])
        assert {depends} if isinstance(depends, str) else set(depends) <= set(found["resources"])


def test_every_parameter_and_condition_is_used() -> None:
    found = template()
    used = set(references(found))
    # What only `apply` reads, of every role.
    own = {f"{role.name.replace('-', '_')}{ages.SUFFIX}" for role in ROLES}
    assert {name for name in found["parameters"] if ("get_param", name) not in used} == own
    assert {name for name in found["conditions"] if ("condition", name) not in used} == set()


def test_no_place_is_left_that_nobody_fills() -> None:
    resources = template()["resources"]
    for role in ROLES:
        key = role.name.replace("-", "_")
        holder = resources[f"{key}_site_document" if role.volume else f"{key}_group"]["properties"]
        filled = holder["config" if role.volume else "resource"]
        site = (filled if role.volume else filled["properties"]["site"])["str_replace"]
        content = site["template"]
        later = () if role.volume else ("%signal-url%", "%signal-token%", "%credential-secret%")
        # A member gets the reference: what it gets is in the group's own template, for whoever may see that.
        assert role.volume or "decrypted_payload" not in str(holder)
        for place in site["params"]:
            assert place in content
            content = content.replace(place, "")
        for place in later:
            content = content.replace(place, "")
        assert "%" not in content
        assert content.isascii(), "Heat hands other characters on without saying which they are"
        assert yaml.safe_load(site["template"])["role"] == role.name


def test_a_role_is_told_what_it_needs_and_no_other_secrets() -> None:
    told = {group.name: document.of_role(SITE, group, TOP, USED) for group in planned().groups}
    assert "dkim" not in told["smtp-in"]
    assert "dkim" in told["smtp-out"]
    assert "directory" not in told["nfs"]
    assert told["smtp-in"]["tuning"] == {"smtp-in": {"amavis_workers": 4}}
    assert told["smtp-in"]["leave"]["siblings"] == {"host": "mx.cloud.example.org", "port": 25}
    assert told["smtp-out"]["leave"]["siblings"] == {
        "host": "smtp-out.cloud.example.org", "port": 587, "login": "svc-delivery",
        "password": SITE["relay_account"]["password"]}
    assert told["pop-imap-lda"]["leave"]["siblings"]["host"] == "delivery.cloud.example.org"
    assert "siblings" not in told["sogo"]["leave"]
    assert all(one["leave"]["heat"] is True for one in told.values())
    # Without anything to open, a storage server still asks whether it is to leave.
    nfs = next(group for group in planned(without("join")).groups if group.name == "nfs")
    alone = document.of_role(without("join"), nfs, TOP, USED)
    assert access.rules(document.text(alone)) == access.LEAVING


def test_access_rules_are_the_calls_of_the_agent() -> None:
    assert [dict(rule) for rule in heat.RULES] == list(access.LEAVING)
    known = [dict(rule) for rule in (*octavia.Octavia.rules, *barbican.RULES)]
    for group in planned().groups:
        for rule in access.rules(document.text(document.of_role(SITE, group, TOP, USED))):
            assert rule in known or rule in access.LEAVING, rule
    # Of the agent's own, only finding a pool by its name is left out: the stack knows the ids.
    given = {tuple(sorted(rule.items())) for rules in rendered().rules.values() for rule in rules}
    left = [rule for rule in known if tuple(sorted(rule.items())) not in given]
    assert left == [{"service": "load-balancer", "method": "GET", "path": "/v2.0/lbaas/pools"}]


@pytest.mark.parametrize(("changes", "wanted"), [
    ({"role": "smtp-in"}, "role: the document is for all roles; leave it out"),
    ({"balancer": {"pools": {}}}, "balancer.pools: the stack makes the pools; leave it out"),
    ({"balancer": {"api": "lbaasv2"}}, "balancer.api: the stack's pools are Octavia's; leave it out"),
    ({"balancer": {"address": "10.20.0.7"}}, "balancer.address: differs from server to server; leave it out"),
    ({"balancer": None}, "balancer: a mapping is expected, such as {deadline: 600}"),
    ({"cloud": {}}, "cloud.auth_url: missing; servers join pools and open secrets with Keystone's help"),
    ({"cloud": {"auth_url": "https://k", "application_credential_id": "x"}},
     "cloud.application_credential_id: each role gets one of its own; leave it out"),
    ({"leave": {"siblings": {}}}, "leave.siblings: follows from `vips` and differs by role; leave it out"),
    ({"leave": {"heat": False}}, "leave.heat: every server of the stack asks Heat; leave it out"),
    ({"webmail": {"title": "%pool-smtp%"}}, "has a text such as %pool-...%, which Heat would fill in"),
])
def test_what_the_stack_says_itself(changes: dict[str, Any], wanted: str) -> None:
    assert list(document.unfit({**SITE, **changes})) == [wanted]


def test_the_operators_waits_for_pools_go_to_servers_that_have_pools() -> None:
    site = {**SITE, "balancer": {"deadline": 1350, "weight": 2}}
    assert list(document.unfit(site)) == []
    told = {group.name: document.of_role(site, group, TOP, USED) for group in planned(site).groups}
    assert told["smtp-in"]["balancer"] == {"deadline": 1350, "weight": 2, "pools": {"smtp": "%pool-smtp%"}}
    assert "balancer" not in told["nfs"]


def test_a_port_that_no_load_balancer_has() -> None:
    site = {**SITE, "vips": {**SITE["vips"], "imap": {"host": "imap.example.org", "port": 1143}}}
    assert list(document.strange_ports(site, planned())) == [
        "vips.imap.port: 1143 is no port of that load balancer (143, 993, 4190)"]


def test_parameters_are_checked_before_a_cloud_is_asked() -> None:
    found = misfits(rendered(), {"alarm": True, "nfs_flavor": "..."})
    assert found[0] == "parameter 'alarm': the template has none of that name (did you mean 'alarms'?)"
    assert "parameter nfs_flavor: is not filled in" in found
    assert any(problem.startswith("parameter server_network: is missing: Network of all servers") for problem in found)
    assert not any("credential" in problem for problem in found)


def test_roles_that_need_each_other_in_a_ring_end() -> None:
    image, role = Image("a", 8, 1024, {}), ROLES[1]
    ring = [platform.Group(dataclasses.replace(role, name=name), image, (), (), (after,), "")
            for name, after in (("x", "y"), ("y", "z"), ("z", "x"))]
    assert [group.name for group in platform.ordered(ring)] == ["x", "z", "y"]


def test_the_order_to_leave_is_the_one_that_the_agent_knows() -> None:
    member = yaml.safe_load(rendered().files[render.MEMBER])["resources"]
    for drain in (member["drain"], template()["resources"]["nfs_drain"]):
        assert drain["properties"]["input_values"] == heat.ORDER
        assert drain["properties"]["actions"] == ["DELETE"]


@pytest.mark.parametrize(("changes", "seconds", "minutes"), [
    ({"leave": {}}, 1560, 240),
    ({"leave": {"deadline": 3600, "handover": 0}}, 4560, 60 + 5 * 76),
    ({}, 1560, 240),
    ({"balancer": {"weight": 1}}, 1560, 240),
    # Once until no new sessions come, once until it is in no pool.
    ({"balancer": {"deadline": 1350}}, 1560 + 2 * 1050, 60 + 5 * 61),
])
def test_a_stack_is_given_the_time_that_leaving_takes(changes: dict[str, Any], seconds: int, minutes: int) -> None:
    site = {**without("leave"), **changes}
    assert document.SPARE == departure.SPARE
    assert document.leaving(site, TOP) == seconds
    plan = planned()
    texts = {group.name: document.text(document.of_role(SITE, group, TOP, USED)) for group in plan.groups}
    assert render.render(plan, document.Documents(texts, site, (), seconds)).minutes == minutes
