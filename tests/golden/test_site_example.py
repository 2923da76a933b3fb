"""`mailimg site example` of every role on every distribution: right as it is, and explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from examples import RESOURCES, role_file

from mailimg import roles
from mailimg.site import example, keys
from mailimg_firstboot import cautions, node, rendering, schema, secret, site
from mailimg_firstboot.errors import DocumentError

CASES = [(role, distro) for role in roles.role_names(RESOURCES) for distro in roles.distro_names(RESOURCES)]
PEM = b"-----BEGIN PRIVATE KEY-----\nbm90IGEgcmVhbCBrZXk=\n-----END PRIVATE KEY-----\n"
# A # with a comment behind it is followed by one blank; what is commented out has none, or the blanks of its depth.
HIDDEN = re.compile(r"^( *)#(?! \S)", re.MULTILINE)


def written(role: str, distro: str) -> str:
    return example.text(RESOURCES, roles.load_role(RESOURCES, role), roles.load_distro(RESOURCES, distro))


def uncovered(text: str) -> str:
    """The document with everything set that was commented out, however deep."""
    head, _, rest = text.partition("\n\n")
    while HIDDEN.search(rest):
        rest = HIDDEN.sub(r"\1", rest)
    return f"{head}\n\n{rest}"


def paths(value: Any, above: str = "") -> Iterator[str]:
    """Dotted paths of everything in a document, `[]` for entries."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield above + name
            yield from paths(child, f"{above}{name}.")
    elif isinstance(value, list):
        for child in value:
            yield from paths(child, above[:-1] + "[].")


@pytest.mark.parametrize(("role", "distro"), CASES)
def test_it_is_right_once_its_secrets_are_there(role: str, distro: str) -> None:
    text, known = written(role, distro), role_file(role, distro)
    document = site.parse(text.encode(), "example")
    checked = site.load(document, known)
    assert "literal:" not in text.partition("\n\n")[2]
    resolved = secret.resolve(checked, lambda path: PEM if path.endswith("key") else b"a word\n")
    assert resolved.warnings == []
    me = node.make("node-1", "11111111-2222-4333-8444-555555555555", checked, known)
    folder = str(roles.load_role(RESOURCES, role).folder / "templates")
    assert rendering.render_all(known, resolved.site, me, folder)
    assert cautions.of(known, checked) == [] or distro == "centos-7"


@pytest.mark.parametrize(("role", "distro"), CASES)
def test_every_key_that_is_set_is_needed_or_of_the_worked_example(role: str, distro: str) -> None:
    document = site.parse(written(role, distro).encode(), "example")
    needed = {path.partition(".")[0] for path in roles.load_role(RESOURCES, role).site}
    assert set(document) == {"mailimg", "role", *needed}
    # Without any one of them it would be wrong.
    for key in needed:
        with pytest.raises(DocumentError):
            site.load({name: value for name, value in document.items() if name != key}, role_file(role, distro))


@pytest.mark.parametrize(("role", "distro"), CASES)
def test_what_is_commented_out_is_yaml_of_known_keys(role: str, distro: str) -> None:
    text = written(role, distro)
    document = site.parse(uncovered(text).encode(), "example")
    root = schema.load("site.schema.json")
    unknown = [one for one in schema.problems(document, root, "site") if "unknown key" in one]
    assert unknown == []
    named = set(paths(document))
    assert named > set(paths(site.parse(text.encode(), "example")))
    parameters = roles.load_role(RESOURCES, role).parameters
    assert {f"tuning.{role}.{name}" for name in parameters} <= named
    # Tuning as it stands there is right too.
    known = role_file(role, distro)
    shown = {**site.parse(text.encode(), "example"), "tuning": document["tuning"]} if parameters else document
    if parameters:
        defaults = {name: one["default"] for name, one in parameters.items() if one["default"] != ""}
        assert defaults.items() <= site.parameters(site.load(shown, known), known).items()


@pytest.mark.parametrize(("role", "distro"), CASES)
def test_every_key_is_explained(role: str, distro: str) -> None:
    # Every line of a comment, put together again: a sentence may be broken anywhere.
    words = re.sub(r"\s+", " ", re.sub(r"^[ #]*", "", written(role, distro), flags=re.MULTILINE))
    named = set(paths(site.parse(uncovered(written(role, distro)).encode(), "example")))
    known = {key.path: key for top in keys.load(RESOURCES) for key in top.all()}
    for path in named & set(known):
        assert known[path].meaning in words, path
    for one in roles.load_role(RESOURCES, role).parameters.values():
        assert one["description"] in words


def test_keys_of_other_roles_are_left_out() -> None:
    text = uncovered(written("smtp-in", "debian-12"))
    assert not re.search(r"^(dkim|storage|webmail|database|volume|masters):", text, re.MULTILINE)
    assert re.search(r"^  freshclam:", uncovered(written("smtp-out", "debian-12")), re.MULTILINE)
    assert "dnsbl:" not in written("smtp-out", "debian-12")
