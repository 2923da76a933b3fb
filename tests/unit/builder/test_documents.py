"""YAML documents against their schemas: every problem at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import DISTRO, MX

from mailimg import documents
from mailimg.errors import InputError


def problems(tmp_path: Path, text: str | bytes, schema: str = "role") -> tuple[str, ...]:
    path = tmp_path / "role.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        documents.load(path, schema, "roles/mx/role.yaml")
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_good_document_is_returned(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(DISTRO)
    assert documents.load(tmp_path / "d.yaml", "distro", "d.yaml")["os"] == {"distro": "small", "version": "1"}


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^images/mx\.yaml: cannot be read: No such file or directory$"):
        documents.load(tmp_path / "none.yaml", "image", "images/mx.yaml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1,\n", "line 2, column 1: expected the node content, but found '<stream end>'"),
        ("a: 1\n\tb: 2\n", "line 2, column 1: found character '\\t' that cannot start any token"),
        (b"\xff\xfe\x00", "cannot be read: "),
        ("", "None is not of type 'object'"),
        ("- 1\n", "[1] is not of type 'object'"),
        ("role: 2026-13-45\n", "month must be in 1..12"),
        ("role: a\nsite: []\nrole: b\n", "line 3, column 1: key 'role' stands twice"),
        ("a: \x01\n", "is not YAML"),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: str | bytes, problem: str) -> None:
    found = problems(tmp_path, text)
    assert found[0].startswith(f"roles/mx/role.yaml: {problem}")
    assert "\n" not in found[0]


def test_merge_keys_are_not_taken_for_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(DISTRO + "  a: &a {unit: a.service}\n  b: {<<: *a, config: /etc/b}\n")
    assert documents.load(path, "distro", "d")["daemons"]["b"] == {"unit": "a.service", "config": "/etc/b"}


def test_all_problems_at_once_in_the_order_of_their_places(tmp_path: Path) -> None:
    text = (
        MX.replace("role: mx\n", "rolle: mx\n")
        .replace("peers: internet", "peers: everybody")
        .replace("{check: smtp, port: 25, name: smtp}", "{check: smtp, prot: 25, name: smtp}")
        .replace("listeners: [25]", "listeners: [25, 25, 0, 1, 2, 3, 4, 5, 6, 7, 99999]")
        .replace("minimum: 1", "minimun: 1")
    )
    assert problems(tmp_path, text) == (
        "roles/mx/role.yaml: unknown key 'rolle' (did you mean 'role'?)",
        "roles/mx/role.yaml: 'role' is missing",
        "roles/mx/role.yaml: health[0]: unknown key 'prot' (did you mean 'port'?)",
        "roles/mx/role.yaml: health[0]: 'port' is missing",
        "roles/mx/role.yaml: listeners: [25, 25, 0, 1, 2, 3, 4, 5, 6, 7, 99999] has non-unique elements",
        "roles/mx/role.yaml: listeners[2]: 0 is less than the minimum of 1",
        "roles/mx/role.yaml: listeners[10]: 99999 is greater than the maximum of 65535",
        "roles/mx/role.yaml: parameters.workers: unknown key 'minimun' (did you mean 'minimum'?)",
        "roles/mx/role.yaml: ports[0].peers: 'everybody' is not one of ['internet', 'users', 'servers', 'siblings']",
    )


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("{check: unix, port: 25, name: a}", ["unknown key 'port'", "'path' is missing"]),
        ("{check: smtp, path: /run/x, name: a}", ["unknown key 'path'", "'port' is missing"]),
        ("{check: tcp, port: many, name: a}", ["port: 'many' is not of type 'integer'"]),
    ],
)
def test_only_the_alternative_that_was_meant_is_described(tmp_path: Path, check: str, words: list[str]) -> None:
    found = problems(tmp_path, MX.replace("{check: smtp, port: 25, name: smtp}", check))
    assert len(found) == len(words)
    for word in words:
        assert any(word in problem for problem in found), found


def test_dotted() -> None:
    assert documents.dotted(["services", 2, "name"]) == "services[2].name"
    assert documents.dotted([0, "a"]) == "[0].a"
    assert documents.dotted([]) == ""


def test_nearest() -> None:
    assert documents.nearest("smpt-in", ["nfs", "smtp-in", "smtp-out"]) == " (did you mean 'smtp-in'?)"
    assert documents.nearest("zzz", ["nfs", "smtp-in"]) == ""


def test_schema_inside_a_document() -> None:
    assert documents.check_default({"type": "integer", "maximum": 3, "default": 3}, "p") == []
    assert documents.check_default({"type": "integer", "maximum": 3, "default": 4}, "p") == [
        "p.default: 4 is greater than the maximum of 3"
    ]
    assert documents.check_default({"type": "integer", "default": True}, "p") == [
        "p.default: True is not of type 'integer'"
    ]
    assert documents.check_default({"type": "integer", "minimum": "one", "default": 4}, "p") == [
        "p: 'one' is not of type 'number'"
    ]
