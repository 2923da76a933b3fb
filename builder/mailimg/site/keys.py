"""The keys of the site document, read from the agent's schema as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailimg.resources import Resources

# Where there is no default. None is a value that a default may have.
MISSING: Any = object()

# What a JSON type is called, where the schema has no better words.
TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
SECRETS = ("secret", "secret_pem", "local_secret")


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        path: dotted, from the top: `directory.urls`, of entries of a list `dkim[].key`.
        what: what its value is, a noun phrase.
        meaning: sentences.
        required: must stand in the mapping that it belongs to.
        default: what it has when it is left out; `MISSING` if nothing.
        secret: its value is a secret reference.
        choices: its possible values, if they are few.
        listed: its value is a list, and `children` are of the entries.
        free: its name is the writer's choice (`<name>` in the path).
        children: keys of its mapping, or of the mappings in its list.
    """

    path: str
    what: str
    meaning: str
    required: bool
    default: Any
    secret: bool
    choices: tuple[Any, ...]
    listed: bool
    free: bool
    children: tuple[Key, ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    def all(self) -> Iterator[Key]:
        """This key and all below it, in the schema's order."""
        yield self
        for child in self.children:
            yield from child.all()


def load(resources: Resources) -> tuple[Key, ...]:
    """The top-level keys, in the schema's order."""
    schema = json.loads((resources.firstboot / "mailimg_firstboot" / "site.schema.json").read_text(encoding="utf-8"))
    return keys_of(schema, schema, "")


def keys_of(schema: Mapping[str, Any], root: Mapping[str, Any], above: str) -> tuple[Key, ...]:
    """The keys of a mapping's schema; `above` is its dotted path with a dot behind it, or nothing."""
    required = schema.get("required", ())
    found = [_key(above + name, one, root, name in required) for name, one in schema.get("properties", {}).items()]
    for one in schema.get("patternProperties", {}).values():
        found.append(_key(above + "<name>", one, root, False, free=True))
    return tuple(found)


def _key(path: str, schema: Mapping[str, Any], root: Mapping[str, Any], required: bool, free: bool = False) -> Key:
    full = _full(schema, root)
    listed = "items" in full and "properties" not in full
    inner = _full(full["items"], root) if listed else full
    children = keys_of(inner, root, path + ("[]." if listed else "."))
    return Key(
        path=path,
        what=_what(full, root),
        meaning=schema.get("description", ""),
        required=required,
        default=full.get("default", MISSING),
        secret=schema.get("$ref", "").rpartition("/")[2] in SECRETS,
        choices=tuple(full.get("enum", ())),
        # A value that may be one thing or a list of such (tuning) is shown as the one.
        listed=listed and full.get("type") == "array",
        free=free,
        children=children,
    )


def _full(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what its `$ref` names, its own words on top."""
    if "$ref" not in schema:
        return dict(schema)
    return {**root["definitions"][schema["$ref"].rpartition("/")[2]], **schema}


def _what(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "title" in schema:
        return str(schema["title"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(one).strip(chr(34))}`" for one in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kinds == ["array"]:
        inner = _full(schema["items"], root)
        return "a list of mappings" if inner.get("type") == "object" else f"a list, each {_what(inner, root)}"
    words = " or ".join(TYPES[one] for one in kinds)
    if "minimum" in schema and "maximum" in schema:
        words += f", {schema['minimum']} to {schema['maximum']}"
    return words
