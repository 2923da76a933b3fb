"""JSON Schema for people: every problem of a document at once, each with its path; defaults filled in.

What is special in our schemas: `title` is a noun phrase that completes "is not ...", `writeOnly` keeps a value out of
messages, `moved` says for keys of former days what they have become, and `$ref` goes only to `#/definitions/<name>` of
the same schema.
"""

import copy
import difflib
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

Schema = Dict[str, Any]

# A value in a message is cut here: long enough to recognise it, short enough for a console.
SHOWN = 60

# What a JSON type is called in a message.
TYPES = {
    "object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "null": "nothing",
}


def load(name: str) -> Schema:
    """A schema that stands beside this module."""
    return dict(json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8")))


def deref(schema: Schema, root: Schema) -> Schema:
    """The schema that `$ref` names, with the words beside the `$ref` (a default, a description) kept."""
    if "$ref" not in schema:
        return schema
    target = dict(root["definitions"][schema["$ref"].rsplit("/", 1)[1]])
    target.update((key, value) for key, value in schema.items() if key != "$ref")
    return target


def where(path: Sequence[Any]) -> str:
    """A path in a document as people write it: `directory.urls[0]`."""
    text = ""
    for part in path:
        text += "[{}]".format(part) if isinstance(part, int) else ("." if text else "") + str(part)
    return text


def nearest(key: str, known: Sequence[str]) -> str:
    """Words that name the known key most like `key`, or all of them when none is like it."""
    likely = difflib.get_close_matches(key, known, 1)
    if likely:
        return "do you mean `{}`?".format(likely[0])
    return "known here: {}".format(", ".join(sorted(known)) or "none")


def problems(document: Any, schema: Schema, name: str) -> List[str]:
    """Every way in which `document` is not what `schema` asks for, as `name: path: what is wrong`.

    Values that a schema calls secret are not in the messages.
    """
    import jsonschema  # late: it takes longer to import than the rest of the agent

    # EL7's jsonschema is older than draft 7; the schemas use only words that both drafts share.
    validator = getattr(jsonschema, "Draft7Validator", jsonschema.Draft4Validator)
    found: List[str] = []
    for error in sorted(validator(schema).iter_errors(document), key=lambda e: [str(part) for part in e.absolute_path]):
        path = list(error.absolute_path)
        for at, words in _words(error, schema, path):
            line = ": ".join(part for part in (name, where(at), words) if part)
            if line not in found:
                found.append(line)
    return found


def _words(error: Any, root: Schema, path: List[Any]) -> Iterator[Tuple[List[Any], str]]:
    """One error of the validator as (path, words) pairs."""
    here = deref(error.schema, root)
    if error.validator == "additionalProperties":
        known = list(here.get("properties", {}))
        patterns = list(here.get("patternProperties", {}))
        for key in error.instance:
            if key not in known and not any(re.search(pattern, key) for pattern in patterns):
                moved = here.get("moved", {}).get(key)
                words = "unknown key; it has become " + moved if moved else "unknown key; " + nearest(key, known)
                yield [*path, key], "not a name that may stand here" if patterns and not known else words
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield [*path, key], "missing"
    elif error.validator == "type":
        wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        names = " or ".join(TYPES[one] for one in wanted)
        yield path, "is {}; it must be {}".format(_kind(error.instance), here.get("title", names))
    elif error.validator == "pattern":
        yield path, "{} is not {}".format(_shown(error), here.get("title", "text of the form " + error.validator_value))
    elif error.validator == "enum":
        yield path, "{} is not one of {}".format(_shown(error), ", ".join(_json(one) for one in error.validator_value))
    elif error.validator in ("minimum", "maximum"):
        side = "less than" if error.validator == "minimum" else "more than"
        yield path, "{} is {} {}".format(_shown(error), side, error.validator_value)
    elif error.validator in ("minItems", "maxItems"):
        side = "at least" if error.validator == "minItems" else "at most"
        yield path, "has {} entries; {} {} are allowed".format(len(error.instance), side, error.validator_value)
    elif error.validator == "maxLength":
        yield path, "is longer than {} characters".format(error.validator_value)
    elif error.validator == "oneOf":
        yield path, "must hold exactly one of: {}".format("; ".join(one["title"] for one in error.validator_value))
    elif error.validator == "uniqueItems":
        yield path, "names something twice"
    else:
        yield path, "does not hold: {}".format(error.validator)


def _shown(error: Any) -> str:
    if error.schema.get("writeOnly"):
        return "the value (not shown)"
    return _json(error.instance)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    for kind, name in ((bool, "true or false"), (int, "a number"), (float, "a number"), (str, "text"),
                       (list, "a list"), (dict, "a mapping")):
        if isinstance(value, kind):
            return name
    return "a {}".format(type(value).__name__)


def with_defaults(document: Any, schema: Schema, root: Schema) -> Any:
    """A copy of a valid document in which every absent key that has a default has its default."""
    schema = deref(schema, root)
    if isinstance(document, dict):
        full = {key: with_defaults(value, _of_key(key, schema), root) for key, value in document.items()}
        for key, child in schema.get("properties", {}).items():
            child = deref(child, root)
            if key not in full and "default" in child:
                full[key] = with_defaults(copy.deepcopy(child["default"]), child, root)
        return full
    if isinstance(document, list):
        return [with_defaults(item, schema.get("items", {}), root) for item in document]
    return document


def _of_key(key: str, schema: Schema) -> Schema:
    """The schema of one key of a mapping; an empty one where the schema says nothing of it."""
    if key in schema.get("properties", {}):
        return dict(schema["properties"][key])
    for pattern, child in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return dict(child)
    return {}


def paths_to(definition: str, document: Any, schema: Schema, root: Schema) -> Iterator[Tuple[Any, ...]]:
    """The paths of `document` whose schema is `#/definitions/<definition>`."""
    if schema.get("$ref") == "#/definitions/" + definition:
        yield ()
        return
    schema = deref(schema, root)
    if isinstance(document, dict):
        for key, value in document.items():
            for rest in paths_to(definition, value, _of_key(key, schema), root):
                yield (key, *rest)
    elif isinstance(document, list):
        for index, item in enumerate(document):
            for rest in paths_to(definition, item, schema.get("items", {}), root):
                yield (index, *rest)
