"""Read YAML documents and hold them against their schema; all problems at once, each with file and path."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError, ValidationError

from mailimg.errors import InputError

SCHEMAS = Path(__file__).parent / "schemas"


class UniqueKeys(yaml.SafeLoader):
    """A key that stands twice is an error: the first value would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"key {key.value!r} stands twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load(path: Path, schema: str, shown: str) -> dict[str, Any]:
    """Read one document.

    Args:
        path: the file.
        schema: name of the schema, `role` for `schemas/role.schema.json`.
        shown: how messages name the file, `roles/smtp-in/role.yaml`.

    Raises:
        InputError: every way in which the document is unreadable or wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([f"{shown}: cannot be read: {reason(error)}"]) from error
    try:
        document = yaml.load(text, UniqueKeys)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise InputError([f"{shown}: {yaml_words(error)}"]) from error
    except ValueError as error:
        # A date that no calendar knows.
        raise InputError([f"{shown}: {error}"]) from error
    problems = check(document, schema, shown)
    if problems:
        raise InputError(problems)
    return dict(document)


def check(document: object, schema: str, shown: str) -> list[str]:
    """Every violation of a schema, as `roles/smtp-in/role.yaml: services[2]: ...`."""
    return violations(document, json.loads((SCHEMAS / f"{schema}.schema.json").read_text(encoding="utf-8")), shown)


def violations(document: object, rules: Mapping[str, Any], shown: str) -> list[str]:
    """The same, of a schema that is at hand."""
    errors = sorted(Draft7Validator(rules).iter_errors(document), key=position)
    problems: list[str] = []
    for error in errors:
        problems.extend(describe(error, shown))
    return problems


def check_default(schema: Mapping[str, Any], place: str) -> list[str]:
    """What is wrong with a schema that a document itself holds, or with the `default` in it."""
    try:
        Draft7Validator.check_schema(schema)
    except SchemaError as error:
        return [f"{place}: {error.message}"]
    return [f"{place}.default: {error.message}" for error in Draft7Validator(schema).iter_errors(schema["default"])]


def position(error: ValidationError) -> list[tuple[int, int, str]]:
    """Where a violation is, so that `files[10]` sorts behind `files[2]`."""
    return [(0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in error.absolute_path]


def describe(error: ValidationError, shown: str) -> Iterable[str]:
    """One violation in words; unknown keys one by one, each with the nearest known name."""
    place = dotted(error.absolute_path)
    where = f"{shown}: {place}: " if place else f"{shown}: "
    closed = error.validator == "additionalProperties" and error.validator_value is False
    if closed and isinstance(error.instance, dict) and isinstance(error.schema, dict):
        known = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in known:
                yield f"{where}unknown key {key!r}{nearest(str(key), known)}"
        return
    if error.validator == "required" and isinstance(error.instance, dict):
        yield f"{where}{error.message.replace(' is a required property', ' is missing')}"
        return
    if error.validator in ("oneOf", "anyOf") and error.context:
        for inner in meant(error.context):
            yield from describe(inner, shown)
        return
    yield f"{where}{error.message}"


def meant(violations: Sequence[ValidationError]) -> list[ValidationError]:
    """Of several alternatives that all fail, the violations of the one that was meant.

    That is one whose fixed values (`check: unix`) match; among those, the one with the fewest violations.
    """
    branches: dict[object, list[ValidationError]] = {}
    for violation in violations:
        branches.setdefault(violation.schema_path[0], []).append(violation)
    return min(
        branches.values(), key=lambda branch: (any(one.validator in ("const", "enum") for one in branch), len(branch))
    )


def dotted(path: Iterable[object]) -> str:
    """`["services", 2, "name"]` as `services[2].name`."""
    words = ""
    for part in path:
        words += f"[{part}]" if isinstance(part, int) else f"{'.' if words else ''}{part}"
    return words


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the known name most like `word`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def reason(error: Exception) -> str:
    """What the system said, without the path that the message names already."""
    return getattr(error, "strerror", None) or str(error)


def yaml_words(error: yaml.YAMLError) -> str:
    """Where and why a text is not YAML, in one line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "is not YAML"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
