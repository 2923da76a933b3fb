"""Keys of the site document and who uses them: what the schema, role.yaml and the templates say."""

from __future__ import annotations

from typing import Any

import pytest
from world import edit

from mailimg.resources import Resources, installed
from mailimg.roles import load_role
from mailimg.site import example, keys, reference, usage
from mailimg.site.keys import MISSING, Key

ROOT = {
    "definitions": {
        "port": {"title": "a TCP port", "type": "integer", "minimum": 1},
        "secret": {"title": "a secret reference", "type": "string"},
    },
}
SCHEMA: dict[str, Any] = {
    "required": ["a"],
    "properties": {
        "a": {"description": "A.", "type": "object", "required": ["port"], "properties": {
            "port": {"description": "Its port.", "$ref": "#/definitions/port", "default": 25},
            "word": {"description": "Its word.", "$ref": "#/definitions/secret"},
        }},
        "list": {"description": "L.", "type": "array", "default": [], "items": {
            "type": "object", "properties": {"key": {"description": "K.", "type": "boolean"}}}},
        "either": {"description": "E.", "type": ["object", "null"], "default": None, "properties": {}},
        "free": {"description": "F.", "type": "object", "patternProperties": {
            "^[a-z]+$": {"description": "One of yours.", "type": "string", "enum": ["x", "y"]}}},
        "number": {"description": "N.", "type": "integer", "minimum": 1, "maximum": 9},
        "names": {"description": "M.", "type": "array", "items": {"$ref": "#/definitions/port"}},
    },
}
KEYS = {key.path: key for top in keys.keys_of(SCHEMA, ROOT, "") for key in top.all()}


def test_keys_in_the_schemas_order() -> None:
    assert list(KEYS) == ["a", "a.port", "a.word", "list", "list[].key", "either", "free", "free.<name>", "number",
                          "names"]
    assert [path for path, key in KEYS.items() if key.required] == ["a", "a.port"]
    assert [path for path, key in KEYS.items() if key.secret] == ["a.word"]
    assert [path for path, key in KEYS.items() if key.listed] == ["list", "names"]
    assert KEYS["a.port"].default == 25
    assert KEYS["either"].default is None
    assert KEYS["a"].default is MISSING
    assert KEYS["list[].key"].name == "key"


@pytest.mark.parametrize(("path", "words"), [
    ("a", "a mapping"), ("a.port", "a TCP port"), ("list", "a list of mappings"), ("list[].key", "true or false"),
    ("either", "a mapping or nothing"), ("free.<name>", "`x` or `y`"), ("number", "a whole number, 1 to 9"),
    ("names", "a list, each a TCP port"),
])
def test_what_a_key_is(path: str, words: str) -> None:
    assert KEYS[path].what == words


def test_keys_that_a_role_uses(world: Resources) -> None:
    template = world.roles / "mx" / "templates" / "main.cf.j2"
    template.write_text("{{ site.a.b.c | upper }}{% if site.d is defined %}{{ other.e }}{% endif %}"
                        "{% set f = site.list[0].x %}{{ f }}")
    edit(world.roles / "mx" / "role.yaml", "site: [domains]", "site: [domains, vips.delivery]")
    found = usage.used(load_role(world, "mx"))
    assert {"domains", "vips.delivery", "a.b.c", "d", "list"} <= found
    assert not found & {"a", "a.b", "other.e", "e", "e.b"}


def test_relevance() -> None:
    role = load_role(installed(), "smtp-out")
    used = {"smtp-out": frozenset({"filter.freshclam", "directory"}), "smtp-in": frozenset({"filter.dnsbl"})}
    paths = {key.path: key for top in keys.load(installed()) for key in top.all()}

    def relevant(path: str) -> bool:
        return usage.relevant(paths[path], role, used)

    # What is above or below a key that is used; what nobody names is the agent's own.
    assert relevant("filter")
    assert relevant("filter.freshclam.mirror")
    assert relevant("directory.base")
    assert relevant("time.servers")
    assert not relevant("filter.dnsbl")


def test_needed_keys() -> None:
    paths = {key.path: key for top in keys.load(installed()) for key in top.all()}
    role = load_role(installed(), "smtp-in")
    assert usage.needed(paths["vips"], role)
    assert usage.needed(paths["vips.delivery"], role)
    assert not usage.needed(paths["vips.smtp_out"], role)
    assert not usage.needed(paths["vips.delivery.port"], role)


@pytest.mark.parametrize(("words", "wanted"), [
    ("<user>*<login> or a|b", "&lt;user>\\*&lt;login> or a\\|b"),
    ("**`a.<name>`** stays", "**`a.<name>`** stays"),
])
def test_markdown(words: str, wanted: str) -> None:
    assert reference.escaped(words) == wanted


@pytest.mark.parametrize(("value", "wanted"), [
    ("x", ["k: x"]), (None, ["k: null"]), (True, ["k: true"]), ("yes", ["k: 'yes'"]), (["a", 1], ["k: [a, 1]"]),
    ({"a": {"b": 1}}, ["k: {a: {b: 1}}"]), ([], ["k: []"]), ("a\nb\n", ["k: |", "  a", "  b"]),
    ("x" * 300, ["k: " + "x" * 300]),
])
def test_values(value: Any, wanted: list[str]) -> None:
    assert example.value_lines("k", value) == wanted


def test_comments_are_wrapped_and_say_choices_and_default() -> None:
    key = Key("a", "text", "Meaning. " * 12, False, "x", False, ("x", "y"), False, False, ())
    found = example.comment(key, 3)
    assert all(len(line) <= 94 and line.startswith("# ") and not line.startswith("#  ") for line in found)
    assert " ".join(found).endswith('One of x, y. Default: "x".')
