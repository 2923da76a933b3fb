"""The reference of all keys, as Markdown: docs/site.md is what it prints of the roles in this repository."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mailimg.roles import Role
from mailimg.site import keys, usage
from mailimg.site.keys import MISSING, Key

HEAD = """\
# The site document: reference

All that an instance knows of its site: YAML, by config drive or metadata service (where from and in which order:
[contract.md](contract.md)). One document may serve a whole platform: each role takes what it needs, and keys of other
roles may stand beside them. An unknown key is an error.

```console
$ mailimg site example --role smtp-in --output site.yaml     # a commented document to start from
$ mailimg site validate site.yaml                            # the check that an instance makes at boot
```

This page is printed by `mailimg site reference` from the agent's schema and the roles. In the tables **bold** keys
must stand in the mapping that they belong to; `[]` stands for each entry of a list, `<name>` for a name of your choice.

## Secrets

Passwords, hashes and keys are always references: a bare one is refused, and not shown in the message.

- `file:/path`: a file on the instance, its only line; of a private key the PEM text. cloud-init's `write_files` puts it
  there, closed to others.
{more}- `literal:text`: the secret itself. It is warned of, since every process of the instance can read the metadata.

"""
BARBICAN = "- `barbican:<UUID or href>`: a secret in Barbican, opened by the application credential of `cloud`.\n"


def text(top: Sequence[Key], roles: Sequence[Role]) -> str:
    """The page.

    Args:
        top: the top-level keys.
        roles: in the order in which they are named.
    """
    used = {role.name: usage.used(role) for role in roles}
    barbican = any("barbican:" in key.what for one in top for key in one.all())
    parts = [HEAD.format(more=BARBICAN if barbican else ""), "## Keys at a glance\n", table(glance(top, roles, used))]
    for key in top:
        if key.path == "tuning":
            parts += [f"## `{key.path}`\n", escaped(key.meaning) + "\n", *tuning(roles)]
        elif key.children:
            words = f"{escaped(key.meaning)} {needs(key, roles)}".strip()
            parts += [f"## `{key.path}`\n", words + "\n", table(rows(key))]
    return "\n".join(parts)


def glance(top: Sequence[Key], roles: Sequence[Role], used: Any) -> Iterator[Sequence[str]]:
    """One row a top-level key: which roles need it, and for which others it does something."""
    yield ("key", "what", "default", "meaning", "needed by", "used by")
    for key in top:
        need = [role.name for role in roles if usage.needed(key, role)]
        use = [role.name for role in roles if role.name not in need and usage.relevant(key, role, used)]
        everyone = key.required or key.path == "role"
        yield (f"**`{key.path}`**" if key.required else f"`{key.path}`", key.what, default(key), key.meaning,
               "all" if key.required else ", ".join(need),
               "" if key.required else "all" if everyone or len(use) == len(roles) else ", ".join(use))


def needs(key: Key, roles: Sequence[Role]) -> str:
    """Which roles need something below the key itself, as a sentence; empty where none does."""
    told = [f"{role.name} needs {', '.join(f'`{one}`' for one in role.site if one.startswith(key.path + '.'))}"
            for role in roles if any(one.startswith(key.path + ".") for one in role.site)]
    return f"Of these, {'; '.join(told)}." if told else ""


def rows(key: Key) -> Iterator[Sequence[str]]:
    """The keys below a top-level key."""
    yield ("key", "what", "default", "meaning")
    for one in key.all():
        if one is not key:
            yield (f"**`{one.path}`**" if one.required else f"`{one.path}`", one.what, default(one), one.meaning)


def tuning(roles: Sequence[Role]) -> Iterator[str]:
    """The parameters of each role."""
    for role in roles:
        if role.parameters:
            yield f"### `tuning.{role.name}`\n"
            yield table(parameters(role))


def parameters(role: Role) -> Iterator[Sequence[str]]:
    """One row a parameter; of `offered` values, those of some distribution."""
    yield ("parameter", "what", "default", "meaning")
    for name, one in role.parameters.items():
        what = " or ".join(f"`{value}`" for value in one["enum"]) if "enum" in one else keys.TYPES[one["type"]]
        if "minimum" in one and "maximum" in one:
            what += f", {one['minimum']} to {one['maximum']}"
        if "offered" in one:
            what += " (what the distribution has)"
        yield (f"`{name}`", what, f"`{json.dumps(one['default'])}`", one["description"])


def default(key: Key) -> str:
    """The default in a cell; empty where there is none, or where it is that of the keys below."""
    return "" if key.default is MISSING or key.default == {} else f"`{json.dumps(key.default, ensure_ascii=False)}`"


def table(found: Iterator[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first its head."""
    head, *rest = found
    lines = [head, ["---"] * len(head), *rest]
    return "".join("| " + " | ".join(map(escaped, line)) + " |\n" for line in lines)


def escaped(words: str) -> str:
    """Text without signs that Markdown takes for its own; code and the stars of bold keys stay."""
    parts = words.split("`")
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"(?<!\*)\*(?!\*)", r"\\*", parts[index].replace("<", "&lt;").replace("|", "\\|"))
    return "`".join(parts)
