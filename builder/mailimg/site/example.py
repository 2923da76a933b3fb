"""A commented site document to start from: right as it is, once its secrets are where it says."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from mailimg.resources import Resources
from mailimg.rolejson import offered
from mailimg.roles import Distro, Role, load_role, role_names
from mailimg.site import keys, usage
from mailimg.site.keys import MISSING, Key

WIDTH = 100
# Where the example's secrets are; cloud-init makes the folder with the files.
SECRETS = "/etc/mailimg/secrets"
# What an author has to replace, where nothing better is known; no key takes it.
BLANK = "..."

# Where a value stands in a document: names of keys and numbers of entries.
Place = tuple[Any, ...]

HEAD = """\
# Site document of {role} on {distro}, as `mailimg site example` writes it.
#
# Replace the values below: they are those of a site that does not exist. A key behind a # is optional and has its
# default or a sample value; take the # away to set it. Secrets are references: file: names a file on the instance
# (cloud-init's write_files puts it there, closed to others), literal: is followed by the secret itself, which
# every process of the instance can then read in the metadata.
#
# Check it before an instance does: mailimg site validate FILE --distro {distro}
# Every key and its meaning: mailimg site reference
"""


def text(resources: Resources, role: Role, distro: Distro) -> str:
    """The document of a role: needed keys with the values of its worked example, the others commented out.

    Keys that only other roles know are left out.
    """
    known = [role if name == role.name else load_role(resources, name) for name in role_names(resources)]
    samples = [sample(role), *(sample(one) for one in known if one.name != role.name)]
    writer = Writer(role, {one.name: usage.used(one) for one in known}, samples)
    blocks = [HEAD.format(role=role.name, distro=distro.name)]
    for key in keys.load(resources):
        if key.path == "tuning":
            blocks.append(lines(writer.off(tuning(key, role, distro), ("tuning",), 0)))
        elif writer.shown(key, (key.name,)):
            on = key.required or key.path == "role" or usage.needed(key, role)
            blocks.append(lines(writer.on(key, (key.name,), 0) if on else writer.off(key, (key.name,), 0)))
    return "\n".join(blocks)


def sample(role: Role) -> Mapping[str, Any]:
    """The worked example of a role; empty where it has none."""
    file = role.folder / "example" / "site.yaml"
    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def tuning(key: Key, role: Role, distro: Distro) -> Key:
    """`tuning` with the parameters of one role on a distribution as its keys."""
    parameters = []
    for name, parameter in role.parameters.items():
        full = offered(parameter, distro)[0]
        parameters.append(Key(
            path=f"tuning.{role.name}.{name}", what=keys.TYPES[full["type"]], meaning=full["description"],
            required=False, default=full["default"], secret=False, choices=tuple(full.get("enum", ())),
            listed=False, free=False, children=(),
        ))
    mine = dataclasses.replace(key, path=f"tuning.{role.name}", meaning=f"Parameters of {role.name}.", default=MISSING,
                               children=tuple(parameters), required=True)
    return dataclasses.replace(key, default=MISSING, children=(mine,))


class Writer:
    """Writes keys as YAML lines without their common indentation.

    Args:
        used: `usage.used` of every role.
        samples: worked examples, the role's own first.
    """

    def __init__(self, role: Role, used: Mapping[str, frozenset[str]], samples: Sequence[Mapping[str, Any]]) -> None:
        self.role = role
        self.used = used
        self.samples = samples

    def shown(self, key: Key, place: Place) -> bool:
        """Whether the role has a use for the key, or its worked example has it."""
        return usage.relevant(key, self.role, self.used) or at(self.samples[0], place) is not MISSING

    def on(self, key: Key, place: Place, depth: int) -> Iterator[str]:
        """A key that is set; what is optional below it is set where the worked example has it."""
        yield from comment(key, depth)
        yield from self.body(key, place, depth, on=True)

    def off(self, key: Key, place: Place, depth: int) -> Iterator[str]:
        """A key that is commented out; what below it has neither default nor sample is so once more."""
        yield from comment(key, depth)
        yield from ("#" + line for line in self.body(key, place, depth, on=False))

    def chosen(self, key: Key, place: Place, on: bool) -> bool:
        """Whether a key is set where the one above it is."""
        if on:
            return key.required or at(self.samples[0], place) is not MISSING or usage.needed(key, self.role)
        if key.children and not key.listed and not free(key):
            # A mapping with nothing in it would be empty, which is an error.
            return key.required or any(self.chosen(child, (*place, child.name), on) for child in key.children)
        return key.required or key.default is not MISSING or self.found(place) is not MISSING

    def body(self, key: Key, place: Place, depth: int, on: bool) -> Iterator[str]:
        """The key and what is below it, without its comment; `on`: it is not in a block that is commented out."""
        if not key.children or free(key):
            yield from value_lines(key.name, self.value(key, place, on))
        elif key.listed:
            entries = self.found(place)
            yield f"{key.name}:"
            for index in range(max(1, len(entries) if isinstance(entries, list) else 0)):
                below = list(self.below(key, (*place, index), depth + 2, on, comments=index == 0))
                # The dash goes to the first key, which its comments precede.
                first = next(number for number, line in enumerate(below) if not line.startswith("#"))
                below[first] = "- " + below[first]
                yield from ("  " + line if number == first else indent(line, first, number)
                            for number, line in enumerate(below))
        else:
            yield f"{key.name}:"
            yield from ("  " + line for line in self.below(key, place, depth + 1, on))

    def below(self, key: Key, place: Place, depth: int, on: bool, comments: bool = True) -> Iterator[str]:
        """The children of a key; those not `chosen` are commented out."""
        for child in key.children:
            where = (*place, child.name)
            if not self.shown(child, where) and not child.required:
                continue
            if comments:
                yield from comment(child, depth)
            if self.chosen(child, where, on):
                yield from self.body(child, where, depth, on)
            elif comments:
                yield from ("#" + line for line in self.body(child, where, depth, on=False))

    def found(self, place: Place) -> Any:
        """The value of the first worked example that has one."""
        return next((one for one in (at(each, place) for each in self.samples) if one is not MISSING), MISSING)

    def value(self, key: Key, place: Place, on: bool) -> Any:
        """What stands behind a key: a secret's reference, a sample, the default, a choice, or what must be replaced.

        A key that is commented out shows its default, unless that says nothing.
        """
        if key.path == "role":
            return self.role.name
        if key.secret:
            return f"file:{SECRETS}/" + ".".join(map(str, place))
        if not on and key.default not in (MISSING, None, "", []):
            return key.default
        for one in (self.found(place), key.default):
            if one is not MISSING:
                return one
        if key.choices:
            return key.choices[0]
        such = re.search(r"such as (\S+)", key.what)
        text = such[1].rstrip(",:;") if such else BLANK
        return {"name": text} if free(key) else [text] if key.listed else text


def free(key: Key) -> bool:
    """Whether the names below a key are the writer's choice."""
    return any(child.free for child in key.children)


def indent(line: str, first: int, number: int) -> str:
    """A line of a list's entry: comments before its first key stand where the dash does, the rest behind it."""
    return ("  " if number < first else "    ") + line


def at(document: Any, place: Sequence[Any]) -> Any:
    """The value at a place of a document, `MISSING` where there is none."""
    for part in place:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return document


def comment(key: Key, depth: int) -> list[str]:
    """What a key means, its choices and its default."""
    words = [key.meaning, *(child.meaning for child in key.children if child.free)]
    if len(key.choices) > 1 and not re.search(r"\bone of\b", key.what):
        words.append(f"One of {', '.join(map(str, key.choices))}.")
    if key.default is not MISSING and not isinstance(key.default, dict):
        words.append(f"Default: {json.dumps(key.default, ensure_ascii=False)}.")
    return textwrap.wrap(" ".join(words), WIDTH - 2 * depth, initial_indent="# ", subsequent_indent="# ",
                         break_long_words=False, break_on_hyphens=False)


def value_lines(name: str, value: Any) -> list[str]:
    """A key and its value in YAML: text of several lines as a block, everything else in one line."""
    if isinstance(value, str) and "\n" in value:
        return [f"{name}: |", *("  " + line for line in value.rstrip("\n").split("\n"))]
    if isinstance(value, dict | list):
        flow = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
        return [f"{name}: {flow}".rstrip("\n")]
    return [yaml.safe_dump({name: value}, width=10**6, allow_unicode=True).rstrip("\n")]


def lines(found: Iterator[str]) -> str:
    """Lines as text."""
    return "".join(line + "\n" for line in found)
