"""The plan of a lab is a value: made from manifests, printed, and read again."""

from __future__ import annotations

import ipaddress
import json

import pytest
from lab_world import document, images, made

from mailimg.errors import InputError
from mailimg.lab import plan
from mailimg.peers import addresses as names


def test_containers_share_a_folder_and_need_no_storage_server() -> None:
    found = made()
    assert [(node.name, node.machine, node.address4) for node in found.nodes] == [
        ("smtp-in-1", "nspawn", "10.91.0.11"), ("smtp-out-1", "nspawn", "10.91.0.21"),
        ("pop-imap-lda-1", "nspawn", "10.91.0.31"), ("pop-imap-lda-2", "nspawn", "10.91.0.32"),
        ("sogo-1", "nspawn", "10.91.0.41")]
    assert found.nodes[0].tree == "/store/smtp-in/tree"


def test_real_nfs_needs_kernels_where_it_is_served_and_mounted() -> None:
    found = made(storage="nfs")
    assert {node.name: node.machine for node in found.nodes} == {
        "nfs-1": "qemu", "smtp-in-1": "nspawn", "smtp-out-1": "nspawn", "pop-imap-lda-1": "qemu",
        "pop-imap-lda-2": "qemu", "sogo-1": "nspawn"}
    assert found.of("nfs")[0].address4 == "10.91.0.5"
    assert found.of("nfs")[0].memory_mib == 2048


def test_more_nodes_of_a_role() -> None:
    found = made(counts={"smtp-out": 3}).of("smtp-out")
    assert [(node.name, node.address4) for node in found] == [
        ("smtp-out-1", "10.91.0.21"), ("smtp-out-2", "10.91.0.22"), ("smtp-out-3", "10.91.0.23")]


@pytest.mark.parametrize(("counts", "words"), [
    ({"mx": 2}, "--nodes: mx: the lab has no such role"),
    ({"sogo": 10}, "--nodes: sogo=10: the lab has one to 9 of them"),
    ({"nfs": 2}, "--nodes: nfs=2: the lab has one to 1 of them"),
])
def test_numbers_of_nodes_that_cannot_be(counts: dict[str, int], words: str) -> None:
    with pytest.raises(InputError) as caught:
        made(storage="nfs", counts=counts)
    assert words in caught.value.problems


def test_everything_under_qemu() -> None:
    assert {node.machine for node in made(everything=True).nodes} == {"qemu"}


def test_every_node_is_another() -> None:
    found = made(storage="nfs").nodes
    for what in ("name", "uuid", "mac", "address4", "address6", "cable"):
        assert len({getattr(node, what) for node in found}) == len(found), what
    for node in found:
        assert ipaddress.ip_address(node.address4) in ipaddress.ip_network(made().networks[0])
        assert ipaddress.ip_address(node.address6) in ipaddress.ip_network(made().networks[1])
        assert len(node.cable) <= 15, "the kernel takes no longer name of an interface"


def test_virtual_addresses_have_the_ports_and_the_persistence_of_the_roles() -> None:
    found = {vip.name: vip for vip in made().vips}
    assert {name: (vip.address4, [port.port for port in vip.ports]) for name, vip in found.items()} == {
        "smtp-in": ("10.91.0.101", [25]), "smtp-out": ("10.91.0.102", [25, 587, 465]),
        "delivery": ("10.91.0.103", [25]), "pop": ("10.91.0.104", [110, 995]),
        "imap": ("10.91.0.105", [143, 993, 4190]), "webmail": ("10.91.0.106", [80, 443])}
    assert {port.persistence for port in found["imap"].ports} == {"source-ip"}
    assert {port.persistence for port in found["smtp-in"].ports} == {""}
    assert [port.balance for port in found["webmail"].ports] == ["least-connections"] * 2
    assert [port.peers for port in found["delivery"].ports] == ["servers"]
    assert {port.port: port.check for port in found["smtp-out"].ports} == {25: "smtp", 587: "smtp", 465: "tcp"}


def test_every_port_for_others_is_behind_a_virtual_address() -> None:
    for role in ("smtp-in", "smtp-out", "pop-imap-lda", "sogo"):
        offered = {port["name"] for port in document(role)["contract"]["ports"] if port["peers"] != "siblings"}
        assert {port.name for vip in made().vips if vip.role == role for port in vip.ports} == offered, role


def test_a_plan_survives_json() -> None:
    found = made(storage="nfs", tuning={"smtp-in": {"amavis_workers": 7}})
    assert plan.Plan.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_tuning_is_the_labs_with_the_users_before_it() -> None:
    found = made(tuning={"smtp-in": {"amavis_workers": 7}}).tuning
    assert found["smtp-in"] == {"amavis_workers": 7, "spam_quarantine": 5000}
    assert found["sogo"] == {"workers": 4}


def test_memory_is_the_flavors_or_what_is_said() -> None:
    assert {node.memory_mib for node in made(storage="nfs", memory={"nfs": 512}).of("nfs")} == {512}
    small, large = made(), made(everything=True)
    assert small.memory_mib == plan.PEERS_MIB + sum(node.memory_mib for node in small.nodes)
    assert large.memory_mib == plan.PEERS_MIB + 5 * 2048


def test_all_problems_at_once() -> None:
    given = images(container=False)
    with pytest.raises(InputError) as caught:
        plan.make(given, name="t", storage="bind", memory={"mta": 512}, tuning={
            "mua": {}, "smtp-in": {"amavis_worker": 3, "spam_mark": "high"}})
    assert caught.value.problems[:4] == (
        "--memory: mta: the lab has no such role", "--set: mua: the lab has no such role",
        "--set: smtp-in: unknown key 'amavis_worker' (did you mean 'amavis_workers'?)",
        "--set: smtp-in: spam_mark: 'high' is not of type 'number'")
    assert "/images/smtp-in.qcow2: the systemd of debian-12 does not run in a container on current hosts" in (
        caught.value.problems)


def test_a_tree_that_is_gone_stops_a_container_but_no_guest() -> None:
    given = {role: plan.Image(image.document, image.path, "") for role, image in images().items()}
    with pytest.raises(InputError, match=r"smtp-in\.qcow2: the tree it was made from is not in the layer store"):
        plan.make(given, name="t", storage="bind")
    assert plan.make(given, name="t", storage="bind", everything=True).nodes


def test_a_node_is_known_by_its_name_or_its_role() -> None:
    found = made()
    assert found.node("smtp-in").name == found.node("smtp-in-1").name == "smtp-in-1"
    for name in ("pop-imap-lda", "smtp", names.NODE_NAME):
        with pytest.raises(InputError, match=f"there is no node '{name}'"):
            found.node(name)
