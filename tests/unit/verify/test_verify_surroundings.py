"""What a verification's node joins: how it is described, and what is read of it afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailimg.errors import InputError
from mailimg.peers import addresses as at
from mailimg.peers import names
from mailimg.verify import cloud, membership, scenarios, timing
from mailimg.verify.cloud import Cloud
from mailimg.verify.report import figure_lines
from mailimg.verify.values import Request, RoleView, VerifyResult

DESCRIBED: dict[str, Any] = {
    "cloud": {"auth_url": "https://10.90.0.1:5000/v3", "application_credential_secret": "literal:opens",
              "endpoints": {"load-balancer": "https://10.90.0.1:9876", "key-manager": "https://10.90.0.1:9311"}},
    "balancer": {"pools": {"smtp": "p-1", "imap": {"pool": "p-2", "weight": 3}}},
    "token": "t", "reach": {5000: "127.0.0.1:35357"},
}
ROLE = RoleView("smtp-out", (25,), ("submission",))


def test_a_cloud_survives_the_way_into_the_namespaces() -> None:
    described = Cloud.from_dict(DESCRIBED, "cloud.yaml")
    request = Request(ROLE, "nspawn", "/tree", "/scratch", peers="/peers", cloud=described.to_dict())
    back = Request.from_dict(json.loads(json.dumps(request.to_dict())))
    assert back.cloud is not None
    assert Cloud.from_dict(back.cloud, "cloud") == described
    assert (described.pools, described.reach) == ({"smtp": "p-1", "imap": "p-2"}, {5000: "127.0.0.1:35357"})


@pytest.mark.parametrize(("change", "problem"), [
    ({"tokens": 1}, "cloud.yaml: tokens: unknown"),
    ({"token": None}, "cloud.yaml: token: missing"),
    ({"reach": []}, "cloud.yaml: reach: not a mapping"),
    ({"reach": {"https": "127.0.0.1:1"}}, "cloud.yaml: reach.https: not `port: HOST:PORT`"),
    ({"reach": {5000: "127.0.0.1"}}, "cloud.yaml: reach.5000: not `port: HOST:PORT`"),
    ({"balancer": {}}, "cloud.yaml: balancer.pools: missing"),
    ({"cloud": {"endpoints": {"load-balancer": "https://a"}}}, "cloud.yaml: cloud.endpoints.key-manager: missing"),
])
def test_a_wrong_description_is_told(change: dict[str, Any], problem: str) -> None:
    wrong = {name: value for name, value in {**DESCRIBED, **change}.items() if value is not None}
    with pytest.raises(InputError) as told:
        Cloud.from_dict(wrong, "cloud.yaml")
    assert told.value.problems == (problem,) or list(told.value.problems) == [problem]


def test_every_literal_secret_becomes_a_reference() -> None:
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"uuid-{len(kept)}"

    document = {"a": "literal:one", "list": [{"key": "literal:two\nlines"}], "plain": "x", "number": 1}
    assert cloud.by_reference(document, keep) == {
        "a": "barbican:uuid-1", "list": [{"key": "barbican:uuid-2"}], "plain": "x", "number": 1}
    assert kept == ["one", "two\nlines"] == cloud.literals(document)


def test_place_of_a_service() -> None:
    assert cloud.place("keystone.example.org:5000") == ("keystone.example.org", 5000)


def test_names_of_the_domain_are_asked_of_its_controller() -> None:
    lines = names.config(names.Path("/log")).splitlines()
    assert f"server=/{at.AD_DOMAIN}/{at.DC4}" in lines
    assert f"host-record={at.FILES_NAME},{at.HOST4}" in lines


def test_the_line_of_a_secret_that_is_looked_for() -> None:
    assert membership.telling("password") == "password"
    assert membership.telling("-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----\n") == "BBBB"


def test_leaving_is_last_and_the_cloud_is_asked_only_where_there_is_one() -> None:
    without = [name for name, _ in membership.joined(False)]
    with_cloud = [name for name, _ in membership.joined(True)]
    assert set(with_cloud) - set(without) == {"secrets come from the cloud", "the node is in every pool"}
    assert without[-1] == with_cloud[-1] == "a second run changes nothing"
    assert next(name for name, _ in membership.parting()) == "the node leaves without a trace"


def test_a_step_that_is_not_there() -> None:
    with pytest.raises(scenarios.StepError, match="no step join"):
        membership.step_of({"steps": [{"name": "render"}]}, "join")


def test_figures_of_a_boot() -> None:
    shown = ("Id=mailimg-firstboot.service\nExecMainStartTimestampMonotonic=10000000\nActiveEnterTimestampMonotonic=0\n"
             "\nId=network-online.target\nActiveEnterTimestampMonotonic=9500000\n")
    events = [{"event": "begin", "at": 10.1}, {"event": "step", "at": 10.4, "name": "hostname"},
              {"event": "step", "at": 14.5, "name": "balancer"}, {"event": "cost", "at": 14.6, "cpu": 1.25}]
    figures = timing.measured(events, timing.properties(shown))
    assert figures == {"agent_says": 0.1, "agent_plans": 0.4, "ready": 5.0, "agent_cpu": 1.25}
    assert figure_lines(figures)[0] == "   0.10 s  the agent's start to its first word"
    # What was not recorded is left out, not guessed.
    assert timing.measured([], timing.properties("Id=network-online.target\n")) == {}


def test_figures_are_in_the_result_and_may_be_missing_in_old_ones() -> None:
    result = VerifyResult("smtp-out", "nspawn", {}, (), figures={"leave": 1.5})
    data = {name: value for name, value in result.to_dict().items() if name != "ok"}
    assert VerifyResult.from_dict(data).figures == {"leave": 1.5}
    assert VerifyResult.from_dict({name: value for name, value in data.items() if name != "figures"}).figures == {}
