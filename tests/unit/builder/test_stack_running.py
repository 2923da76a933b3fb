"""What an update leaves to servers that run, what it refuses for them, and which of them have an earlier document."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from test_stack import SITE, planned, rendered, template
from test_stack_groups import entry

from mailimg.cloud.images import CloudImage
from mailimg.errors import InputError
from mailimg.stack import ages, groups, keep
from mailimg.stack.heat import Stack

PLATFORM = planned()
VOLUME = "7d8f4f0e-2c41-4f0e-9a55-0d8b5f8f2a10"
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
PARAMETERS = {"key_name": "", "server_network": "servers", "wait_for_leave": "True", "smtp_in_image": "id-1",
              "nfs_image": "id-2", "sogo_certificate": "", "nfs_volume": "", "nfs_address": "", "nfs_volume_size": "10"}


def server(place: str, created: str = EARLY, status: str = "CREATE_COMPLETE") -> list[dict[str, Any]]:
    """A member of a group with its server, or the storage server."""
    if "/" not in place:
        return [{**entry(place, "OS::Nova::Server", status, f"uuid-{place}"), "creation_time": created}]
    return [{**entry(place, status=status), "creation_time": created},
            entry(f"{place}/server", "OS::Nova::Server", physical=f"uuid-{place}"),
            entry(f"{place}/ready", "OS::Heat::WaitCondition", status),
            entry(f"{place}/drain", keep.DEPLOYMENT)]


RESOURCES = [
    entry("smtp_in_group", groups.TYPE), entry("smtp_in_second_group", groups.TYPE), *server("smtp_in_group/a"),
    *server("smtp_in_group/b", LATE), *server("nfs_server"),
    entry("nfs_new_volume", "OS::Cinder::Volume", physical=VOLUME),
]


def stack(**changes: str) -> Stack:
    return Stack("mail", "1", "UPDATE_COMPLETE", "", EARLY, EARLY, {**PARAMETERS, **changes}, {})


def image(identity: str, name: str) -> CloudImage:
    return CloudImage.from_glance({"id": identity, "name": name, "status": "active", "created_at": EARLY})


def refused(resources: list[dict[str, Any]] = RESOURCES, **given: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        keep.refuse(PLATFORM, template(), given, stack(), resources, [])
    return list(caught.value.problems)


def test_what_belongs_to_servers_stays_when_nobody_names_it() -> None:
    before = {**PARAMETERS, "nfs_volume": VOLUME, "key_name": "k", "nfs_address": "10.20.0.5", "cooldown": "5",
              "smtp_in_document_after": EARLY, "sogo_certificate": "c"}
    found = keep.kept(before, RESOURCES, template()["parameters"])
    assert found == {"nfs_volume": VOLUME, "nfs_volume_size": "10", "key_name": "k", "nfs_address": "10.20.0.5",
                     "smtp_in_document_after": EARLY, "sogo_certificate": "c", "smtp_in_size": 2}


@pytest.mark.parametrize(("given", "words"), [
    ({"smtp_in_image": "id-9"}, "`mailimg stack roll --role smtp-in --image id-9`"),
    ({"nfs_image": "id-9"}, "`mailimg stack delete`, which keeps the volume, then `mailimg stack apply --parameter"
                            " nfs_volume=ID`"),
    ({"smtp_in_serving": "second"}, "that is for `mailimg stack roll` to change"),
    ({"smtp_in_former_image": "id-9"}, "that is for `mailimg stack roll` to change"),
    ({"key_name": "k"}, "servers run with '', not 'k': Heat would replace them"),
    ({"server_network": "other"}, "servers run with 'servers', not 'other': Heat would take their ports"),
    ({"nfs_address": "10.20.0.5"}, "Heat would take its port"),
    ({"nfs_volume": "other"}, f"its mailboxes are on {VOLUME}, and Heat would take that while it is mounted"),
    ({"sogo_certificate": "https://barbican/v1/containers/1"}, "another listener on a port that has one"),
    ({"wait_for_leave": False}, "Heat would tell every server that runs to leave"),
])
def test_what_would_cost_servers_is_refused(given: dict[str, Any], words: str) -> None:
    problems = refused(**given)
    assert len(problems) == 1
    assert next(iter(given)) in problems[0]
    assert words in problems[0]


def test_all_at_once_and_nothing_where_no_server_runs() -> None:
    given = {"smtp_in_image": "id-9", "nfs_image": "id-9", "key_name": "k", "nfs_volume": "other",
             "wait_for_leave": "no"}
    assert len(refused(**given)) == len(given)
    failed = [entry("smtp_in_group", groups.TYPE), *server("smtp_in_group/a", status="CREATE_FAILED"),
              *server("nfs_server", status="CREATE_FAILED")]
    assert keep.refuse(PLATFORM, template(), given, stack(), failed, []) == {}


def test_what_means_the_same_is_not_refused_and_stays_as_it_is_written() -> None:
    given = {"smtp_in_image": "mailimg-smtp-in-1", "nfs_volume": VOLUME, "key_name": "", "wait_for_leave": True}
    stay = keep.refuse(PLATFORM, template(), given, stack(), RESOURCES, [image("id-1", "mailimg-smtp-in-1")])
    assert stay == {"smtp_in_image": "id-1", "nfs_volume": "", "key_name": ""}


def test_webmail_with_its_own_database_is_not_rolled() -> None:
    site = {name: value for name, value in SITE.items() if name != "database"}
    running = [entry("sogo_group", groups.TYPE), *server("sogo_group/x")]
    with pytest.raises(InputError) as caught:
        keep.refuse(planned(site), template(site), {"sogo_image": "id-9"}, stack(sogo_image="id-1"), running, [])
    assert "it is one server with a mariadb of its own, which is not rolled" in caught.value.problems[0]
    assert "roll --role" not in caught.value.problems[0]


def test_a_layer_is_not_left_out() -> None:
    fewer = {name: one for name, one in template()["resources"].items() if not name.startswith(("nfs_", "smtp_in_"))}
    assert keep.missing(fewer, RESOURCES) == ["smtp-in", "nfs"]
    assert keep.missing(template()["resources"], RESOURCES) == []
    # One whose servers are gone may go; so may a group that is empty, but not the one that serves.
    first, second = "smtp_in_group", "smtp_in_second_group"
    empty = [entry(first, groups.TYPE), entry(second, groups.TYPE), *server(f"{second}/c")]
    assert keep.missing([name for name in template()["resources"] if name != first], empty) == []
    assert keep.missing([name for name in template()["resources"] if name != second], empty) == ["smtp-in"]
    with pytest.raises(InputError, match="stack mail has servers of nfs, and this platform has none"):
        keep.refuse(PLATFORM, {"resources": fewer}, {}, stack(), RESOURCES, [])


def after(template_then: dict[str, Any], parameters: dict[str, str] | None = None, **later: str) -> dict[str, str]:
    known = {**PARAMETERS, "smtp_in_credential_id": "c", **(parameters or {})}
    return ages.changed(PLATFORM, template_then, template(), known, {**known, **later}, RESOURCES)


def test_servers_that_were_there_when_the_document_changed_have_an_earlier_one() -> None:
    then = copy.deepcopy(template())
    assert after(then) == {}
    site = then["resources"]["smtp_in_group"]["properties"]["resource"]["properties"]["site"]["str_replace"]
    site["params"]["%credential-secret%"] = {"get_attr": ["other", "decrypted_payload"]}
    assert after(then) == {}
    site["template"] = "x"
    assert after(then) == {"smtp_in_document_after": LATE}
    then["resources"]["nfs_site_document"]["properties"]["config"]["str_replace"]["template"] = "x"
    assert after(then) == {"smtp_in_document_after": LATE, "nfs_document_after": EARLY}
    # A credential is part of it; of a role without servers nobody has an earlier one.
    assert after(template(), smtp_in_credential_id="d") == {"smtp_in_document_after": LATE}
    assert after(template(), smtp_out_credential_id="d") == {"smtp_out_document_after": ""}


def test_it_is_said_of_those_that_it_is_true_of() -> None:
    known = {**PARAMETERS, "smtp_in_document_after": EARLY}
    assert ages.words(PLATFORM, known, RESOURCES) == [
        "smtp-in: 1 of its servers keep the document that they were made with:"
        " `mailimg stack roll --role smtp-in --again`"]
    assert ages.earlier("smtp_in", {**known, "smtp_in_document_after": LATE}, RESOURCES) == 2
    assert ages.words(PLATFORM, PARAMETERS, RESOURCES) == []
    [told] = ages.words(PLATFORM, {"nfs_document_after": EARLY}, RESOURCES)
    assert told.startswith("nfs: its server keeps the document that it was made with until it is made anew: ")
    assert "roll" not in told.replace("not rolled", "")


def test_servers_are_resized_one_after_the_other() -> None:
    assert keep.resized({"smtp_in_flavor": "small"}, {"smtp_in_flavor": "large"})
    assert not keep.resized({"smtp_in_flavor": "small", "smtp_in_size": "1"}, {"smtp_in_flavor": "small"})


class Heat:
    """Pools with some servers in them; what is marked."""

    def __init__(self, *pooled: str) -> None:
        self.cloud, self.pooled = self, pooled
        self.marked: list[str] = []

    def call(self, *_words: str, **_more: Any) -> dict[str, Any]:
        return {"members": [{"name": f"mailimg-{one}", "operating_status": "ONLINE"} for one in self.pooled]}

    def mark(self, path: str, _reason: str) -> None:
        self.marked.append(path.rpartition("/")[2])


def test_who_never_served_is_made_anew_and_nobody_else() -> None:
    resources = [
        entry("smtp_in_group", groups.TYPE), entry("smtp_in_smtp_pool", "OS::Octavia::Pool", physical="pool"),
        *server("smtp_in_group/good"), *server("smtp_in_group/bad", status="CREATE_FAILED"),
        *server("smtp_in_group/late", status="CREATE_FAILED"), *server("smtp_in_group/leaving", status="DELETE_FAILED"),
        *server("smtp_in_group/ready", status="UPDATE_FAILED"),
    ]
    next(one for one in resources if one["place"] == "smtp_in_group/ready/ready")["resource_status"] = "CREATE_COMPLETE"
    heat: Any = Heat("uuid-smtp_in_group/late", "uuid-smtp_in_group/good")
    assert [one.name for one in keep.anew(heat, resources, groups.members(resources))] == ["bad"]
    assert heat.marked == ["bad"]


def test_servers_are_never_replaced_for_a_document() -> None:
    member = yaml.safe_load(rendered().files["member.yaml"])["resources"]["server"]
    for one in (member, template()["resources"]["nfs_server"]):
        assert one["properties"]["user_data_update_policy"] == "IGNORE"
