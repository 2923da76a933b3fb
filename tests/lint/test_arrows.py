"""Who may know whom, in the builder: the arrows that must never exist."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, below, is_shell, shown

from mailimg import gather

BUILDER = ROOT / "builder"
MODULES = below("builder", "*.py")
# What would make a plan depend on when, where or as whom it is made.
IMPURE = {
    "asyncio", "datetime", "getpass", "http", "os", "platform", "random", "requests", "secrets", "shutil", "socket",
    "subprocess", "tempfile", "time", "urllib",
}
# Of what makes layers and disks: values and plumbing, which choose no byte of either.
DECIDES_NOTHING = {
    "base_image.py", "documents.py", "errors.py", "identity.py", "plan.py", "process.py", "progress.py", "resources.py",
    "roles.py", "scratch.py", "sources.py", "store.py", "web.py",
}
SECRET = re.compile(r"passw|secret|token|credential|private_key|bind_pw", re.IGNORECASE)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> set[str]:
    """Dotted names of everything a module imports; of `from a import b` both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages(path: Path) -> set[str]:
    """First parts of what a module imports."""
    return {name.split(".")[0] for name in imported(path)}


def module_file(name: str) -> Path | None:
    """The file of a dotted name of the builder, if it is a module."""
    place = BUILDER / Path(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def closure(start: Path) -> set[Path]:
    """A module and all modules of the builder that it needs."""
    found, queue = {start}, [start]
    while queue:
        for name in imported(queue.pop()):
            path = module_file(name) if name.startswith("mailimg.") else None
            if path is not None and path not in found:
                found.add(path)
                queue.append(path)
    return found


def strings(path: Path) -> Iterator[str]:
    """All texts of a module but its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    module = tree(path)
    words = {ast.get_docstring(node, clean=False) for node in ast.walk(module) if isinstance(node, documented)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in words:
            yield node.value


def test_modules_are_found() -> None:
    names = {path.name for path in MODULES}
    assert {"plan.py", "dib.py", "process.py", "manifest.py", "cli.py"} <= names
    assert BUILDER / "mailimg" / "identity.py" in closure(BUILDER / "mailimg" / "plan.py")


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_builder_does_not_import_the_agent(path: Path) -> None:
    assert "mailimg_firstboot" not in packages(path)


@pytest.mark.parametrize("path", below("firstboot", "*.py"), ids=shown)
def test_agent_does_not_import_the_builder(path: Path) -> None:
    assert "mailimg" not in packages(path)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_only_dib_knows_diskimage_builder(path: Path) -> None:
    if path.name.startswith("dib"):
        return
    assert "diskimage_builder" not in packages(path)
    assert [text for text in strings(path) if re.search(r"\bDIB_[A-Z]|\bdisk-image-create\b", text)] == []


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_one_door_to_openstack(path: Path) -> None:
    """Only cloud/connection.py knows openstacksdk and what it is made of, and it waits until a cloud is asked for."""
    known = {"openstack", "keystoneauth1", "requests", "urllib3"} & packages(path)
    if path != BUILDER / "mailimg" / "cloud" / "connection.py":
        assert known == set()
        return
    assert known == {"openstack", "keystoneauth1"}
    # Imports of functions and of TYPE_CHECKING wait; those of the module do not.
    at_once = [ast.unparse(node) for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [line for line in at_once if re.match(r"(import|from) (openstack|keystoneauth1)\b", line)] == []


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_one_door_to_other_programs(path: Path) -> None:
    starters = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and re.match(r"(system|popen|fork|exec|spawn|posix_spawn)", node.attr)
    }
    # unsynced.py becomes the program it is asked for; it starts none.
    assert starters == ({"os.execvp"} if path == BUILDER / "mailimg" / "unsynced.py" else set())
    if path != BUILDER / "mailimg" / "process.py":
        assert {"subprocess", "multiprocessing", "pty"} & packages(path) == set()


@pytest.mark.parametrize(("part", "unknown"), [
    ("peers", {"clients", "machines", "verify", "lab", "load", "cloud", "stack", "commands"}),
    ("clients", {"machines", "verify", "lab", "load", "cloud", "stack", "commands"}),
    ("machines", {"clients", "verify", "lab", "load", "cloud", "stack", "commands"}),
    ("verify", {"lab", "cloud", "stack", "commands"}),
    ("lab", {"cloud", "stack", "commands"}),
    ("cloud", {"peers", "clients", "machines", "verify", "lab", "load", "stack", "commands"}),
    ("stack", {"peers", "clients", "machines", "verify", "lab", "load", "reap", "commands"}),
    ("reap", {"peers", "clients", "machines", "verify", "lab", "load", "commands"}),
])
def test_parts_that_do_not_know_each_other(part: str, unknown: set[str]) -> None:
    """What plays a site knows nothing of who plays with it; what goes to a cloud knows nothing of either."""
    modules = list((BUILDER / "mailimg" / part).rglob("*.py"))
    assert modules
    for path in modules:
        known = {name.split(".")[1] for name in imported(path) if name.startswith("mailimg.")}
        assert known & unknown == set(), shown(path)


def test_roles_and_images_are_data() -> None:
    for path in below("roles") + below("images"):
        assert path.suffix not in (".py", ".sh", ".bash"), shown(path)
        assert not path.stat().st_mode & 0o111, f"{shown(path)} is executable"
        assert not is_shell(path), shown(path)
        assert not path.read_bytes().startswith(b"#!"), shown(path)


@pytest.mark.parametrize("name", ["plan", "identity", "roles", "rolejson"])
def test_plans_are_pure(name: str) -> None:
    """No clock, network, environment or program, however far down."""
    for path in closure(BUILDER / "mailimg" / f"{name}.py"):
        assert packages(path) & IMPURE == set(), f"{name}.py needs {shown(path)}"


def test_manifest_knows_no_clock_network_or_environment() -> None:
    path = BUILDER / "mailimg" / "manifest.py"
    assert packages(path) & (IMPURE - {"os"}) == set()
    used = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert used & {"environ", "getenv", "uname", "gethostname", "getlogin"} == set()


@pytest.mark.parametrize(("part", "start"), [("mailimg layers", "rootfs.py"), ("mailimg disk", "disk.py")])
def test_identities_count_the_code_that_decides_bytes(part: str, start: str) -> None:
    """Every module that makes layers or disks is in gather.CODE: an edit of it must not meet what the old one made."""
    found = {path.name for path in closure(BUILDER / "mailimg" / start)}
    if part == "mailimg layers":
        # Named to DIB as a program, not imported.
        found.add("dib_tree.py")
    assert set(gather.CODE[part]) == found - DECIDES_NOTHING


def fields(path: Path) -> set[str]:
    """Names of all fields of a module's classes, and of all keys of its literal dictionaries."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            names |= {
                line.target.id
                for line in node.body
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            }
        elif isinstance(node, ast.Dict):
            names |= {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return names


def properties(schema: Any) -> Iterator[tuple[str, Any]]:
    """All properties that a JSON Schema names, at any depth."""
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield name, inner
        for inner in schema.values():
            yield from properties(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from properties(inner)


@pytest.mark.parametrize("name", ["plan", "manifest", "rolejson", "roles", "build", "rootfs", "apt"])
def test_no_field_for_a_secret(name: str) -> None:
    found = fields(BUILDER / "mailimg" / f"{name}.py")
    assert found, "no field found: the search is wrong"
    # `secret` in role.json is a mark on a file that will hold one; schemas say that it is true or false.
    assert {field for field in found if SECRET.search(field)} <= {"secret"}


SCHEMAS = [*below("builder", "*.schema.json"), *below("firstboot", "role.schema.json")]


@pytest.mark.parametrize("path", SCHEMAS, ids=shown)
def test_schemas_take_no_secret(path: Path) -> None:
    named = list(properties(json.loads(path.read_text(encoding="utf-8"))))
    assert named
    for name, schema in named:
        if SECRET.search(name):
            assert schema["type"] == "boolean", f"{shown(path)}: {name} may hold a secret"
