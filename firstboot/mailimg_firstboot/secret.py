"""Secret references of the site document and the values behind them.

A reference is `file:/path` (the file's first and only line), `barbican:` with a UUID or href (its payload, one line as
well) or `literal:text`; that of a private key names or holds PEM text of several lines instead. Those below `cloud` are
never in Barbican: they are what opens it. Values live in `Secret`, which shows itself nowhere: not in logs, not in
events, not in a traceback's repr. Templates get the text through `rendering`, and only those that role.json marks
`secret`.
"""

import copy
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from mailimg_firstboot import schema
from mailimg_firstboot.errors import DocumentError

MASK = "<secret>"

# What would end a line in a configuration file of some daemon, and other control characters.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# A private key; one behind a passphrase would keep its daemon from starting.
PEM = re.compile(r"^-----BEGIN (?:(?:RSA|EC) )?PRIVATE KEY-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+"
                 r"-----END (?:(?:RSA|EC) )?PRIVATE KEY-----\n$")


class Secret:
    """A value that must not be seen; `reveal` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The value itself."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return MASK

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError("a secret is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, _memo: Dict[int, Any]) -> "Secret":
        return self


class Resolved(NamedTuple):
    """A site document whose references became `Secret`s, and what is to be said about them."""

    site: Dict[str, Any]
    warnings: List[str]


def resolve(
    site: Dict[str, Any], read_file: Callable[[str], bytes],
    read_barbican: Optional[Callable[[Dict[str, Any], str], bytes]] = None,
) -> Resolved:
    """Replace every secret reference of a valid site document by its `Secret`.

    Args:
        site: what `site.load` returned.
        read_file: gives the bytes of a path, or raises OSError.
        read_barbican: gives the bytes of a secret in Barbican; is told the document, in which every other secret is
            resolved, and the reference. None: Barbican is out of reach.

    Raises:
        DocumentError: a file cannot be read or does not hold exactly one line of text; all such problems at once.
        FirstbootError: what `read_barbican` raises.
    """
    full = copy.deepcopy(site)
    found: List[str] = []
    root = schema.load("site.schema.json")
    references = [(path, form, _holder(full, path)[path[-1]].partition(":")) for path, form in _references(site, root)]
    for path, form, (kind, _, rest) in sorted(references, key=lambda one: one[2][0] == "barbican"):
        at = schema.where(path)
        if kind == "barbican" and (found or read_barbican is None):
            # What opens Barbican is among what was found wrong, or may be; the rest is told at once.
            if read_barbican is None:
                found.append("site: {}: a secret in Barbican can only be read on an instance".format(at))
            continue
        try:
            if kind == "literal":
                text = rest
            elif kind == "barbican" and read_barbican is not None:
                text = form(read_barbican(full, rest))
            else:
                text = form(read_file(rest))
            _holder(full, path)[path[-1]] = Secret(text)
        except OSError as error:
            found.append("site: {}: cannot read {}: {}".format(at, rest, error.strerror or error))
        except ValueError as error:
            found.append("site: {}: {}: {}".format(at, rest, error))
    if found:
        raise DocumentError(found, "Put the file there before the agent runs (cloud-init write_files), "
                                   "or change the reference.")
    return Resolved(full, literals(site))


def literals(site: Dict[str, Any]) -> List[str]:
    """A warning for each secret that stands in a document itself."""
    found = []
    for path, _ in _references(site, schema.load("site.schema.json")):
        value: Any = site
        for part in path:
            value = value[part]
        if value.startswith("literal:"):
            found.append("site: {}: the secret stands literally in the metadata, which every process of the instance "
                         "can read; prefer file:/path".format(schema.where(path)))
    return found


def mask(site: Dict[str, Any], literal: bool = False) -> Dict[str, Any]:
    """The same document with `MASK` behind every reference: to show what would be rendered without any secret.

    Args:
        literal: keep the values that stand in the document itself: to check them, not to show them.
    """
    full = copy.deepcopy(site)
    root = schema.load("site.schema.json")
    for path, _ in _references(site, root):
        holder = _holder(full, path)
        kind, _, rest = holder[path[-1]].partition(":")
        holder[path[-1]] = Secret(rest if literal and kind == "literal" else MASK)
    return full


def _holder(document: Any, path: Tuple[Any, ...]) -> Any:
    """The mapping or list that holds the last part of a path."""
    for part in path[:-1]:
        document = document[part]
    return document


def _references(site: Dict[str, Any], root: schema.Schema) -> List[Tuple[Tuple[Any, ...], Callable[[bytes], str]]]:
    """The path of every secret of a document, with what reads its file."""
    lines = [(path, _line) for definition in ("local_secret", "secret")
             for path in schema.paths_to(definition, site, root, root)]
    return lines + [(path, _pem) for path in schema.paths_to("secret_pem", site, root, root)]


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def _pem(content: bytes) -> str:
    """The private key in a file; messages never hold any of it."""
    text = _text(content).rstrip("\n") + "\n"
    if not PEM.match(text):
        raise ValueError("must hold one private key in PEM, not encrypted, and nothing else")
    return text


def _line(content: bytes) -> str:
    """The one line of a secret file; messages never hold any of it."""
    text = _text(content)
    text = text[:-1] if text.endswith("\n") else text
    if not text:
        raise ValueError("is empty")
    if CONTROL.search(text) or text != text.strip():
        raise ValueError("must hold one line without control characters and without blanks at its ends")
    return text
