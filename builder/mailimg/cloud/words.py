"""What OpenStack's services say when they refuse, in one line; each has a form of its own."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

LONGEST = 400
# In the order of preference: Octavia and Neutron; Heat, Keystone and Nova; Barbican.
KEYS = ("faultstring", "message", "description")
# No more than the name of the status; Heat has its sentence further in.
LAST = ("title",)


def said(body: str, reason: str = "") -> str:
    """The sentence in a refusal's body.

    Args:
        body: JSON of any service, Glance's or a proxy's HTML, or plain text.
        reason: what to say when there is nothing in it.
    """
    try:
        value = json.loads(body)
        found = next((text for keys in (KEYS, LAST) for text in sentences(value, keys)), "")
    except ValueError:
        text = re.sub(r"<head>.*?</head>|<h1>.*?</h1>", " ", body, flags=re.DOTALL | re.IGNORECASE)
        found = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return " ".join(found.split())[:LONGEST].rstrip(". ") or reason


def sentences(value: Any, keys: Sequence[str]) -> Iterator[str]:
    """All texts of a JSON document under one of these keys, outermost first."""
    if isinstance(value, list):
        for one in value:
            yield from sentences(one, keys)
    elif isinstance(value, dict):
        yield from (value[key] for key in keys if isinstance(value.get(key), str) and value[key])
        for one in value.values():
            yield from sentences(one, keys)
