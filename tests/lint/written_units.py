"""The systemd units and drop-ins that hooks write, read out of the hooks' text for one distribution.

Hooks branch on $DISTRO_NAME in three forms only: `case "$DISTRO_NAME" in`, `if [ "$DISTRO_NAME" = x ]; then`, and
`exit 0` directly inside of either. What stands in no such branch is for every distribution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

CASE = re.compile(r'^(\s*)case "\$DISTRO_NAME" in$')
ARM = re.compile(r"^(\s*)(\*|[a-z0-9|-]+)\)(.*)$")
IF = re.compile(r'^(\s*)if \[ "\$DISTRO_NAME" (=|!=) ([a-z0-9-]+) \]; then$')
HEREDOC = re.compile(r"(?<!<)<<(?!<)(['\"]?)(\w+)\1")
CAT = re.compile(r"^\s*cat > (\S+) <<(['\"]?)(\w+)\2$")
ONE_LINE = re.compile(r"^\s*(?:printf|echo) '([^']*)'\s+> (\S+)$")
FOLDER = "systemd/system/"


@dataclass(frozen=True)
class Unit:
    """A unit or drop-in: its path as the hook names it, and its text; `$1` and the like stand as `/given-1`."""

    path: str
    text: str


@dataclass
class Branch:
    """A branch on the distribution that is open: its indent, whether it is a `case`, and whether it holds now."""

    indent: int
    is_case: bool
    holds: bool


def lines_for(hook: str, distribution: str) -> Iterator[str]:
    """The lines of a hook that count on a distribution, as far as it runs there, branches themselves left out."""
    open_branches: list[Branch] = []
    end = ""
    for line in hook.splitlines():
        holds = all(branch.holds for branch in open_branches)
        if end:
            if holds:
                yield line
            if line == end:
                end = ""
            continue
        if turned(line, open_branches, distribution):
            continue
        holds = all(branch.holds for branch in open_branches)
        if not holds:
            start = HEREDOC.search(line)
            end = start[2] if start else ""
            continue
        if open_branches and line == " " * statements(open_branches[-1]) + "exit 0":
            return
        yield line
        start = HEREDOC.search(line)
        end = start[2] if start else ""


def turned(line: str, branches: list[Branch], distribution: str) -> bool:
    """Follow a line that opens, turns or ends a branch on the distribution; False if it does none of it."""
    if found := CASE.match(line):
        branches.append(Branch(len(found[1]), is_case=True, holds=False))
        return True
    if found := IF.match(line):
        branches.append(Branch(len(found[1]), is_case=False, holds=(found[3] == distribution) == (found[2] == "=")))
        return True
    if not branches:
        return False
    last = branches[-1]
    if last.is_case and (found := ARM.match(line)) and len(found[1]) == last.indent + 4:
        # An arm in one line is a word or two; none writes a unit.
        last.holds = distribution in found[2].split("|") and not found[3].rstrip().endswith(";;")
        return True
    word = line.strip()
    if last.is_case and word == ";;" and indent(line) == statements(last):
        last.holds = False
        return True
    if indent(line) == last.indent and word == ("esac" if last.is_case else "fi"):
        branches.pop()
        return True
    if not last.is_case and indent(line) == last.indent and word == "else":
        last.holds = not last.holds
        return True
    return False


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def statements(branch: Branch) -> int:
    """Indent of the statements of a branch."""
    return branch.indent + (8 if branch.is_case else 4)


def written(hook: str, distribution: str) -> list[Unit]:
    """The units and drop-ins that a hook writes on a distribution.

    Raises:
        AssertionError: it writes one in a form that is not read here.
    """
    units = []
    lines = iter(lines_for(hook, distribution))
    for line in lines:
        while line.endswith("\\"):
            line = line[:-1].rstrip() + " " + next(lines).strip()
        if FOLDER not in line or " > " not in line:
            continue
        if found := CAT.match(line):
            body = []
            for inner in lines:
                if inner == found[3]:
                    break
                body.append(inner if found[2] else re.sub(r"\$(\d)", r"/given-\1", inner))
            units.append(Unit(found[1].strip('"'), "\n".join(body) + "\n"))
        elif found := ONE_LINE.match(line):
            units.append(Unit(found[2].strip('"'), found[1].replace("\\n", "\n")))
        else:
            raise AssertionError(f"a unit is written in a form that is not checked: {line.strip()}")
    return units
