"""The site of a lab: names, network, site documents, mail that arrives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab_world import made

from mailimg.errors import InputError
from mailimg.lab import addresses as at
from mailimg.lab import checks, internet, names, network, site
from mailimg.peers import addresses as known

PASSWORDS = {"people": "p1", "joiner": "j1"}


def test_dns_has_everybody() -> None:
    plan = made(storage="nfs")
    lines = names.config(plan, Path("/log"), "v=DKIM1; k=rsa; p=x").splitlines()
    for node in plan.nodes:
        assert f"host-record={node.name}.cloud.example.org,{node.address4},{node.address6}" in lines
    for vip in plan.vips:
        assert f"host-record={vip.host},{vip.address4},{vip.address6}" in lines
    assert "mx-host=example.org,mx.cloud.example.org,10" in lines
    assert 'txt-record=example.org,"v=spf1 ip4:10.91.0.21 ip6:fd00:91::21 -all"' in lines
    assert 'txt-record=lab._domainkey.example.org,"v=DKIM1; k=rsa; p=x"' in lines
    assert "server=/ad.example.org/10.91.0.2" in lines
    assert "listen-address=10.91.0.1,fd00:91::1" in lines


def test_the_network_has_every_address_of_peers_and_none_of_nodes() -> None:
    plan = made()
    text = "\n".join(" ".join(command) for command in network.commands(plan))
    for address in (at.GATEWAY4, at.DC4, at.BALANCER4, at.SENDER4, at.RECEIVER4, at.HOME4, at.SENDER6,
                    *(vip.address4 for vip in plan.vips), *(vip.address6 for vip in plan.vips)):
        assert f" {address}/" in text
    for node in plan.nodes:
        assert f" {node.address4}/" not in text
    assert f"ip link add mailimg0 address {at.GATEWAY_MAC} type bridge" in text, "it would change as nodes go"
    assert at.GATEWAY_MAC not in [node.mac for node in plan.nodes]


def test_a_document_of_each_role() -> None:
    plan = made(storage="nfs")
    for node in plan.nodes:
        found = site.document(node.role, plan, PASSWORDS, "CA", "KEY", "https://files/x.pem")
        assert found["directory"]["urls"] == ["ldap://dc1.ad.example.org"]
        assert found["directory"]["tls"] == "starttls"
        assert found["tls"] == {"url": "https://files/x.pem", "ca": "CA"}
        assert ("volume" in found) == (node.role == "nfs")
        assert found["role"] == node.role
        assert found["networks"] == ["10.91.0.0/24", "fd00:91::/64"]
    assert "tls" not in site.document("smtp-in", plan, PASSWORDS, "CA", "KEY", "")


def arrival(folder: Path, number: int, message_id: str, end: str = "\n") -> None:
    (folder / "mail" / str(number)).write_bytes(b"x\r\n")
    line = {"message_id": message_id, "sender": "", "recipients": ["a@b.example"], "at": 1.0, "file": str(number)}
    with (folder / "index").open("a") as file:
        file.write(json.dumps(line) + end)


def test_arrivals_are_found_once_written(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "index").touch()
    found = internet.Arrivals(tmp_path)
    assert found.all() == []
    arrival(tmp_path, 1, "<a@x>")
    arrival(tmp_path, 2, "<b@x>", end="")
    assert [one.message_id for one in found.all()] == ["<a@x>"]
    with (tmp_path / "index").open("a") as file:
        file.write("\n")
    arrival(tmp_path, 3, "<a@x>")
    assert [one.message_id for one in found.all()] == ["<a@x>", "<b@x>", "<a@x>"]
    assert len(found.find("<a@x>")) == 2
    first = found.wait("<b@x>", 0)
    assert first is not None
    assert first.content == b"x\r\n"
    assert found.wait("<c@x>", 0) is None


def test_a_share_is_put_off_when_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "index").touch()
    assert internet.share(tmp_path) == 0.0
    internet.Arrivals(tmp_path).defer(0.25)
    assert internet.share(tmp_path) == 0.25


def test_groups_of_checks_are_found_by_their_names() -> None:
    assert "flow" in checks.groups()
    assert "mail" not in checks.groups()
    for name in checks.groups():
        (found,) = checks.find([name])
        told = [check[0] for check in found[1].checks()]
        assert told
        assert len(set(told)) == len(told), name
    with pytest.raises(InputError) as caught:
        checks.find(["flow", "foo", "mail"])
    assert caught.value.problems == ("--only foo: there are no such checks", "--only mail: there are no such checks")
    assert known.DOMAIN == "example.org"
