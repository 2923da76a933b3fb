"""The agent runs on the oldest interpreter of an image, and its modules know only what they may know."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "firstboot"
PACKAGE = ROOT / "mailimg_firstboot"
FILES = sorted([*PACKAGE.rglob("*.py"), ROOT / "bin/mailimg-firstboot"])
OLDEST = (3, 6)

# The agent's tests: tests/lab runs them under a real 3.6 where there is one, and its grammar is checked everywhere.
TESTS = [*sorted((ROOT.parent / "tests/unit/firstboot").glob("*.py")), ROOT.parent / "tests/unit/conftest.py"]

# What an image has beside the standard library.
LIBRARIES = {"cryptography", "jinja2", "jsonschema", "keystoneauth1", "requests", "yaml"}

# These are functions of their arguments: no clock, no network, no environment, no other program.
PURE = ["analysis", "sockets", "metadata", "site", "site_cloud", "schema", "rendering", "rolefile", "secret", "node"]
IMPURE = {"time", "datetime", "random", "uuid", "socket", "ssl", "urllib", "http", "smtplib", "subprocess", "os",
          "platform", "getpass", "tempfile", "shutil", "mailimg_firstboot.host", "mailimg_firstboot.sources",
          "mailimg_firstboot.waiting", "mailimg_firstboot.report"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT if ROOT in path.parents else ROOT.parent))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                # `from package import module` names the module; `from module import name` is cut by `known` below.
                yield f"{node.module}.{alias.name}"


def hits(imported: str, forbidden: set[str]) -> bool:
    return any(imported == one or imported.startswith(one + ".") for one in forbidden)


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=name)
def test_grammar(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=OLDEST)


def test_library() -> None:
    vermin = str(Path(sys.executable).with_name("vermin"))
    found = subprocess.run([vermin, "--target=3.6-", "--no-tips", "--violations", *map(str, FILES + TESTS)],
                           capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_what_an_image_has(path: Path) -> None:
    allowed = sys.stdlib_module_names | LIBRARIES | {"mailimg_firstboot"}
    assert {one.partition(".")[0] for one in imports(path)} <= allowed


def test_the_builder_is_not_known() -> None:
    for path in FILES:
        assert not [one for one in imports(path) if hits(one, {"mailimg"})], path


def test_one_door_to_programs() -> None:
    starters = {"subprocess", "multiprocessing", "pty"}
    doors = {name(path) for path in FILES for one in imports(path) if hits(one, starters)}
    assert doors == {"mailimg_firstboot/programs.py"}
    starts = re.compile(r"\bos\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*)\b")
    assert not [name(path) for path in FILES if starts.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("module", PURE)
def test_pure_modules(module: str) -> None:
    assert not [one for one in imports(PACKAGE / f"{module}.py") if hits(one, IMPURE)]


def test_steps_know_no_other_step_and_no_machine_but_the_host() -> None:
    steps = sorted([*(PACKAGE / "steps").glob("*.py"), *(PACKAGE / "parting").glob("*.py")])
    assert len(steps) == 23
    others = {"mailimg_firstboot.steps", "mailimg_firstboot.parting", "mailimg_firstboot.engine",
              "mailimg_firstboot.leaving"}
    machine = (IMPURE | {"pathlib", "io", "sys"}) - {"mailimg_firstboot.host"}
    for path in steps:
        assert not [one for one in imports(path) if hits(one, others | machine)], path
        called = {node.func.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                  if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        assert "open" not in called, path


def test_libraries_are_imported_late() -> None:
    """`status` and a wrong usage answer at once: nothing slow is imported with a module."""
    slow = LIBRARIES | {"smtplib", "urllib", "http", "ctypes", "ssl"}
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        top |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not [one for one in top if hits(one, slow)], path


def test_files_are_short() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path
        assert path.stem != "utils"
