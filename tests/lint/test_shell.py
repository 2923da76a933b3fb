"""Shell: shellcheck over every script, dib-lint over the elements."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from project import ROOT, files, hooks, is_shell, shown

# Beyond shellcheck's own choice. Not taken: checks of taste (braces, double brackets), and one that cannot know which
# variables diskimage-builder hands to a hook.
OPTIONAL = (
    "avoid-nullary-conditions",
    "check-extra-masked-returns",
    "check-set-e-suppressed",
    "deprecate-which",
    "quote-safe-variables",
)


def run(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def shellcheck(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert shutil.which("shellcheck"), "shellcheck is missing; `mailimg doctor --install` installs it"
    return run(["shellcheck", "--shell=bash", "--severity=style", f"--enable={','.join(OPTIONAL)}", *arguments])


def dib_lint(elements: Path) -> subprocess.CompletedProcess[str]:
    """dib-lint over a folder of elements.

    It looks for indents in DIB's own library too: there is none here, and the elements stand in for it. It runs
    `python` and `flake8`, which lie beside it.
    """
    tools = Path(sys.executable).parent
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "ELEMENTS_DIR": str(elements),
        "LIB_DIR": str(elements),
    }
    return run([str(tools / "dib-lint")], environment)


def test_shellcheck_finds_nothing() -> None:
    scripts = [shown(path) for path in files() if is_shell(path)]
    assert len(scripts) > len(hooks()) > 10, "the search for shell files finds too little"
    answer = shellcheck("--format=gcc", *scripts)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_hook_is_checked() -> None:
    assert [shown(path) for path in hooks() if not is_shell(path)] == []


def test_shellcheck_would_find_something(tmp_path: Path) -> None:
    script = tmp_path / "wrong.sh"
    script.write_text('#!/bin/bash\nset -eu\nrm -rf $1/cache\necho "`date`"\n')
    answer = shellcheck("--format=gcc", str(script))
    assert answer.returncode == 1
    assert "SC2086" in answer.stdout
    assert "SC2006" in answer.stdout


def test_dib_lint_finds_nothing() -> None:
    answer = dib_lint(ROOT / "elements")
    wrong = [line for line in answer.stdout.splitlines() if not line.startswith(("Checking ", "Parsing ", "Running "))]
    assert wrong == ["PASS"], answer.stderr
    assert answer.returncode == 0
    checked = set(answer.stdout.split())
    assert [str(path) for path in hooks() if str(path) not in checked] == [], "dib-lint did not look at all hooks"


def test_dib_lint_would_find_something(tmp_path: Path) -> None:
    hook = tmp_path / "elements" / "wrong" / "install.d" / "50-wrong"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/bash\necho\n")
    hook.chmod(0o755)
    answer = dib_lint(tmp_path / "elements")
    assert answer.returncode == 1
    assert "lacks a README.rst" in answer.stdout
    assert "is not set -o pipefail" in answer.stdout
