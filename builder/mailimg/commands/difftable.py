"""What differs between two images, as tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from mailimg.difference import Changes, Difference, FileChanges
from mailimg.filetree import Entry

ADDED, REMOVED, CHANGED = "green", "red", "yellow"
MARKS = {ADDED: "+", REMOVED: "-", CHANGED: "~"}
MIB = 1024**2

Row = tuple[str, str, str, str]


def difference_tables(found: Difference, limit: int) -> Iterator[Table]:
    """One table for each kind of thing that differs; at most `limit` lines each, and one that says how many more."""
    kinds = (
        ("image", found.facts),
        ("packages", found.packages),
        ("listening ports", found.listeners),
        ("systemd units", found.units),
        ("set-id programs and capabilities", found.privileged),
    )
    for title, changes in kinds:
        if changes:
            yield table(title, rows(changes), limit)
    if found.files:
        of_packages, others = file_rows(found.files, found.packages)
        if of_packages:
            yield table("files of packages that differ", of_packages, limit)
        if others:
            yield table("other files", others, limit)
    if found.measures:
        words = {name: (size_words(old), size_words(new)) for name, (old, new) in found.measures.changed.items()}
        yield table("size and identity", rows(Changes({}, {}, words)), limit)


def rows(changes: Changes) -> list[Row]:
    """Colour, name, value in A, value in B."""
    found = [(ADDED, name, "", value) for name, value in changes.added.items()]
    found += [(REMOVED, name, value, "") for name, value in changes.removed.items()]
    found += [(CHANGED, name, *pair) for name, pair in changes.changed.items()]
    return sorted(found, key=lambda row: row[1])


def file_rows(files: FileChanges, packages: Changes) -> tuple[list[Row], list[Row]]:
    """Files of packages that differ anyway, counted by package; and each of the others."""
    expected = {*packages.added, *packages.removed, *packages.changed}
    counts: Counter[tuple[str, str]] = Counter()
    others: list[Row] = []
    for colour, paths in ((ADDED, files.added), (REMOVED, files.removed), (CHANGED, files.changed)):
        for path, value in paths.items():
            package = files.packages.get(path, "")
            if package in expected:
                counts[package, colour] += 1
            elif isinstance(value, Entry):
                words = entry_words(value)
                others.append((colour, path, *(("", words) if colour == ADDED else (words, ""))))
            else:
                others.append((colour, path, "", ", ".join(value)))
    names = sorted({package for package, _ in counts})
    of_packages = [
        (CHANGED, name, "", ", ".join(f"{counts[name, colour]} {words}" for colour, words in
                                      ((ADDED, "added"), (REMOVED, "removed"), (CHANGED, "changed"))
                                      if counts[name, colour]))
        for name in names
    ]
    return of_packages, sorted(others, key=lambda row: row[1])


def entry_words(entry: Entry) -> str:
    """What a name is, in few words."""
    if entry.kind == "link":
        return f"-> {entry.target}"
    size = f", {entry.size} bytes" if entry.kind == "file" else ""
    return f"{entry.kind} {entry.mode:04o} {entry.uid}:{entry.gid}{size}"


def table(title: str, lines: Sequence[Row], limit: int) -> Table:
    """One table; a column that has nothing to say is left out."""
    made = Table(box=None, pad_edge=False)
    made.add_column("")
    made.add_column(f"{title} ({len(lines)})", overflow="fold")
    with_a = any(row[2] for row in lines)
    if with_a:
        made.add_column("A", overflow="fold")
    made.add_column("B" if with_a else "", overflow="fold")
    for colour, name, old, new in lines[:limit]:
        cells = [MARKS[colour], name, *([old] if with_a else []), new]
        made.add_row(*(Text(cell, style=colour if number < 2 else "") for number, cell in enumerate(cells)))
    if len(lines) > limit:
        made.add_row("", Text(f"... and {len(lines) - limit} more (--limit 0 or --json shows all)", style="dim"))
    return made


def size_words(value: str) -> str:
    """A number of bytes with its unit, a digest cut short."""
    if len(value) == 64:
        return value[:12]
    return f"{int(value) / MIB:.1f} MiB" if value.isdigit() and int(value) >= MIB else value
