"""The wheel: what is installed from it finds all that it needs beside its code, away from any checkout."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailimg import resources

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
LEFT = (".git", ".venv", "out", "dist", "__pycache__", "*.pyc", ".*_cache")


def run(command: Sequence[str | Path], cwd: Path) -> str:
    # No variable that could lead Python back into the checkout.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    answer = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with mailimg from its wheel; the dependencies are those that the tests run with."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT))
    # What a build leaves in the checkout must not be shipped.
    (source / "images" / "out").mkdir()
    (source / "images" / "out" / "smtp-in-debian-12.qcow2").write_text("gigabytes")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source], folder)
    wheels = list(folder.glob("mailimg-*.whl"))
    assert len(wheels) == 1
    environment = folder / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", environment], folder)
    python = environment / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheels[0]], folder)
    # As a path file, the tests' site-packages come after the environment's own, and bring no path files of their own:
    # the editable installation of the checkout stays out.
    own = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


@pytest.fixture
def share(installed: Path, tmp_path: Path) -> Path:
    """Where the installed package keeps elements, roles, images and the agent."""
    place = run([installed / "bin" / "python", "-c", "import mailimg; print(mailimg.__file__)"], tmp_path)
    package = Path(place.strip()).parent
    assert package.is_relative_to(installed), "the checkout was imported, not the wheel"
    return package / "share"


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("name", ["elements", "roles", "images", "firstboot"])
def test_everything_travels(share: Path, name: str) -> None:
    here: Path = getattr(resources.installed(), name)
    expected = {path: data for path, data in content(here).items() if not path.startswith("out/")}
    assert expected
    assert content(share / name) == expected


def test_hooks_stay_executable(share: Path) -> None:
    here = resources.installed().elements

    def executable(folder: Path) -> set[str]:
        return {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and path.stat().st_mode & stat.S_IXUSR
        }

    assert len(executable(here)) > 10
    assert executable(share / "elements") == executable(here)


@pytest.mark.parametrize("name", ["schemas", "templates"])
def test_data_of_the_package_travels(share: Path, name: str) -> None:
    names = {path.name for path in (share.parent / name).iterdir()}
    assert names == {path.name for path in (ROOT / "builder" / "mailimg" / name).iterdir()}


def test_tests_and_secrets_of_the_checkout_stay(share: Path) -> None:
    assert {path.name for path in share.iterdir()} == {"elements", "roles", "images", "firstboot"}


def test_list(installed: Path, tmp_path: Path) -> None:
    answer = json.loads(run([installed / "bin" / "mailimg", "list", "--json"], tmp_path))
    assert "smtp-in" in answer["roles"]
    assert "debian-12" in answer["distros"]
    assert "postfix" in answer["elements"]


def test_plan_is_that_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    """Same content, same identities, wherever it is installed."""
    arguments = ["plan", "--role", "smtp-in", "--distro", "debian-12", "--json"]
    plans = json.loads(run([installed / "bin" / "mailimg", *arguments], tmp_path))
    assert [layer["name"] for layer in plans[0]["layers"]] == ["distribution", "base", "mta", "smtp-in", "role"]
    assert plans == json.loads(run([Path(sys.executable).parent / "mailimg", *arguments], tmp_path))
