"""From the bytes of meta_data.json, user_data and vendor_data.json to the server's name and its site document.

Weakest first: vendor data, user data, `meta` keys of the server named `mailimg:<dotted.path>`. Mappings are merged key
by key, everything else is replaced. Nothing here reads a clock, the machine or the network.

A site document stands
- in user data as YAML whose top level has the key `mailimg`, or as the only part of type `text/x-mailimg-site` of a
  MIME message; either may be gzip'ed. User data of another kind (cloud-config, a script) holds none;
- in vendor_data.json under the key `mailimg`, as a mapping or as text; or the file is, or has under `cloud-init`, a
  text that is what user data may be.
"""

import copy
import email
import json
import re
import zlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from mailimg_firstboot import site as sites
from mailimg_firstboot.errors import DocumentError, FirstbootError

PART = "text/x-mailimg-site"
PREFIX = "mailimg:"
GZIP = b"\x1f\x8b"

# Nova takes 64 KiB of user data and 255 characters a meta key; vendor data comes from a service of the site.
MAX_BYTES = 1 << 20

# `mailimg:<key>` of the server that tells the agent what to do; no part of the site document.
ORDERS = ("state",)

# Value of `mailimg:state`: leave the platform and stay away.
DRAIN = "drain"

HINT = ("Give the server a site document as user data (YAML whose first key is `mailimg`), or as a MIME part of type "
        "{} beside cloud-config.".format(PART))


class BrokenMetadataError(FirstbootError):
    """The source gave something that cannot be what it wrote: cut off, or not its format."""


class Metadata(NamedTuple):
    """What the cloud says of this server; `document` is merged but not yet checked, `order` is what `order` finds."""

    hostname: str
    instance: str
    document: Dict[str, Any]
    order: str


def parse(meta_data: bytes, user_data: Optional[bytes], vendor_data: Optional[bytes]) -> Metadata:
    """Merge the three files of one source; None stands for a file that is not there.

    Raises:
        BrokenMetadataError: a JSON file is cut off or not JSON.
        DocumentError: there is no site document, or one that is no YAML.
    """
    meta = _json(meta_data, "meta_data.json")
    if not isinstance(meta, dict) or not isinstance(meta.get("uuid"), str):
        raise BrokenMetadataError("meta_data.json holds no instance (a mapping with `uuid`)")
    hostname = meta.get("hostname") or meta.get("name")
    if not isinstance(hostname, str):
        raise DocumentError(["metadata: hostname: missing"], "Give the server a name and boot it again.")
    layers: List[Dict[str, Any]] = []
    problems: List[str] = []
    finders: List[Callable[[], Optional[Dict[str, Any]]]] = [
        lambda: from_vendor_data(vendor_data),
        lambda: from_user_data(user_data, "user_data"),
    ]
    for find in finders:
        try:
            layers.append(find() or {})
        except DocumentError as error:
            problems.extend(error.problems)
    if problems:
        raise DocumentError(problems, sites.HINT)
    if not any(layers):
        raise DocumentError(["no site document in metadata: {}".format(_what(user_data))], HINT)
    document: Dict[str, Any] = {}
    for layer in layers:
        document = merge(document, layer)
    return Metadata(hostname, meta["uuid"], with_meta_keys(document, meta.get("meta") or {}), order(meta))


def order(meta: Any) -> str:
    """What `mailimg:state` in a meta_data.json tells the node to do: `DRAIN`, or nothing (empty).

    Raises:
        DocumentError: it is a word that means nothing.
    """
    keys = meta.get("meta") if isinstance(meta, dict) else None
    value = keys.get(PREFIX + "state", "") if isinstance(keys, dict) else ""
    if value not in ("", DRAIN):
        raise DocumentError(["metadata: {}state: {} is not {}".format(PREFIX, json.dumps(value)[:60], DRAIN)],
                            "`openstack server unset --property {}state SERVER`".format(PREFIX))
    return str(value)


def from_user_data(content: Optional[bytes], name: str) -> Optional[Dict[str, Any]]:
    """The site document in user data, or None when the data is of another kind or absent."""
    content = _unzipped(content or b"", name)
    if not content.strip():
        return None
    if re.match(br"(?i)(?:content-type|mime-version):", content.lstrip()):
        return _from_mime(content.lstrip(), name)
    if content.startswith((b"#!", b"#include", b"#part-handler", b"#cloud-boothook", b"## template:")):
        return None
    if not re.search(br"(?m)^(?:\{\s*)?[\"']?mailimg[\"']?\s*:", content):
        # Other YAML is somebody else's: its errors are not ours to report.
        return None
    return _mapping(sites.parse(content, name), name)


def from_vendor_data(content: Optional[bytes]) -> Optional[Dict[str, Any]]:
    """The site document in vendor_data.json, or None when there is none."""
    name = "vendor_data.json"
    value = _json(content, name) if content and content.strip() else None
    if isinstance(value, dict) and "mailimg" in value:
        inner = value["mailimg"]
        if isinstance(inner, str):
            inner = sites.parse(inner.encode("utf-8"), name + ": mailimg")
        return _mapping(inner, name + ": mailimg")
    text = value.get("cloud-init") if isinstance(value, dict) else value
    return from_user_data(text.encode("utf-8"), name) if isinstance(text, str) else None


def merge(under: Dict[str, Any], over: Dict[str, Any]) -> Dict[str, Any]:
    """`over` laid on `under`: mappings key by key, all else replaced; neither is changed."""
    full = copy.deepcopy(under)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(full.get(key), dict):
            full[key] = merge(full[key], value)
        else:
            full[key] = copy.deepcopy(value)
    return full


def with_meta_keys(document: Dict[str, Any], meta: Dict[str, Any]) -> Dict[str, Any]:
    """The document with the server's `mailimg:<dotted.path>` keys set; values are YAML scalars.

    Raises:
        DocumentError: with every key that cannot be set.
    """
    full = copy.deepcopy(document)
    problems = []
    for key in sorted(meta):
        path = key[len(PREFIX):].split(".")
        if not key.startswith(PREFIX) or path[0] in ORDERS:
            continue
        name = "meta " + key
        if not isinstance(meta[key], str) or not all(path):
            problems.append("{}: a dotted path with a text is expected".format(name))
            continue
        try:
            value = sites.parse(meta[key].encode("utf-8"), name)
        except DocumentError as error:
            problems.extend(error.problems)
            continue
        if isinstance(value, (dict, list)):
            problems.append("{}: the value must be a scalar, not a mapping or a list".format(name))
        elif not _set(full, path, value):
            problems.append("{}: the path leads through a value that is not a mapping".format(name))
    if problems:
        raise DocumentError(
            problems, "Correct the server's metadata: `openstack server set --property mailimg:<path>=...`.")
    return full


def _set(document: Dict[str, Any], path: List[str], value: Any) -> bool:
    """Set one value, making mappings on the way; False if something else than a mapping stands in the way."""
    holder: Any = document
    for part in path[:-1]:
        holder = holder.setdefault(part, {})
        if not isinstance(holder, dict):
            return False
    holder[path[-1]] = value
    return True


def _from_mime(content: bytes, name: str) -> Optional[Dict[str, Any]]:
    parts = [part for part in email.message_from_bytes(content).walk() if part.get_content_type() == PART]
    if not parts:
        return None
    if len(parts) > 1:
        raise DocumentError(["{}: {} parts of type {}; one is expected".format(name, len(parts), PART)], HINT)
    payload = parts[0].get_payload(decode=True)
    if not isinstance(payload, bytes):
        raise DocumentError(["{}: the part of type {} cannot be decoded".format(name, PART)], HINT)
    name += " ({})".format(PART)
    return _mapping(sites.parse(_unzipped(payload, name), name), name)


def _mapping(value: Any, name: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise DocumentError(["{}: a mapping is expected".format(name)], sites.HINT)
    return value


def _json(content: bytes, name: str) -> Any:
    try:
        return json.loads(content.decode("utf-8"))
    except ValueError as error:
        # JSONDecodeError's words hold a position but nothing of the text.
        raise BrokenMetadataError("{} is cut off or not JSON: {}".format(name, error)) from None


def _unzipped(content: bytes, name: str) -> bytes:
    """Plain bytes of what may be gzip'ed; a small file that grows without bound is stopped at `MAX_BYTES`."""
    if not content.startswith(GZIP):
        return content
    unpack = zlib.decompressobj(wbits=31)
    try:
        plain = unpack.decompress(content, MAX_BYTES)
    except zlib.error:
        raise DocumentError(["{}: gzip'ed, but cannot be unpacked".format(name)], sites.HINT) from None
    if unpack.unconsumed_tail:
        raise DocumentError(["{}: more than {} bytes when unpacked".format(name, MAX_BYTES)], sites.HINT)
    if not unpack.eof:
        raise DocumentError(["{}: the gzip'ed data is cut off".format(name)], sites.HINT)
    return plain


def _what(user_data: Optional[bytes]) -> str:
    content = (user_data or b"").lstrip()
    if not content:
        return "the server has no user data"
    if content.startswith(b"#cloud-config"):
        return "user data is cloud-config alone"
    if content.startswith(b"#!"):
        return "user data is a script"
    return "user data holds none"
