"""The kernel's table of mounts, as /proc/self/mountinfo has it (proc(5)); pure functions of its bytes."""

import re
from typing import Dict, List, NamedTuple, Optional

# The kernel writes blanks, tabs, line ends, backslashes and number signs as a backslash and three octal digits.
ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One mount.

    Args:
        place: where it is mounted.
        kind: type of the file system, such as nfs4.
        source: what is mounted, such as `server:/export`.
        options: those of the mount and of the file system by name; one without a value has an empty one.
    """

    place: str
    kind: str
    source: str
    options: Dict[str, str]


def parse(table: bytes) -> List[Mount]:
    """Every mount of a table, in its order; a line of another form is passed over."""
    found = []
    for line in table.splitlines():
        # A field of any number of optional ones ends at a single hyphen.
        before, _, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if len(fields) < 6 or len(rest) < 3:
            continue
        both = fields[5].split(b",") + rest[2].split(b",")
        options = dict(_text(one).partition("=")[::2] for one in both)
        found.append(Mount(_text(fields[4]), _text(rest[0]), _text(rest[1]), options))
    return found


def at(table: bytes, place: str) -> Optional[Mount]:
    """What is mounted at a place: of several the last, which covers the others; None when nothing is."""
    found = [one for one in parse(table) if one.place == place]
    return found[-1] if found else None


def _text(field: bytes) -> str:
    whole = ESCAPE.sub(lambda found: bytes([int(found.group(1), 8) & 0xFF]), field)
    return whole.decode("utf-8", "surrogateescape")
