"""What each role's worked example renders to, byte for byte, on every distribution."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from examples import RESOURCES, render

from mailimg import roles
from mailimg_firstboot.rendering import RenderedFile

CASES = [(role, distro) for role in roles.role_names(RESOURCES) for distro in roles.distro_names(RESOURCES)]
LIST = "FILES"


def as_tree(files: list[RenderedFile]) -> dict[str, bytes]:
    """Relative path to content, and under `FILES` what a file's content does not show: mode, owner, service."""
    tree = {one.path.lstrip("/"): one.content for one in files}
    rows = [
        f"{one.mode:04o} {one.owner}:{one.group} {one.service or '-'} {'secret' if one.secret else 'open'} {one.path}\n"
        for one in files
    ]
    return {LIST: "".join(rows).encode(), **tree}


def on_disk(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("role_name", "distro_name"), CASES)
def test_example_renders_to_golden(role_name: str, distro_name: str, regenerate: bool) -> None:
    folder = RESOURCES.roles / role_name / "example" / "golden" / distro_name
    rendered = as_tree(render(role_name, distro_name))
    if regenerate:
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in rendered.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    assert on_disk(folder) == rendered


def test_every_role_has_a_case() -> None:
    assert {role for role, _ in CASES} == {path.name for path in RESOURCES.roles.iterdir() if path.is_dir()}


def test_no_golden_of_a_distribution_that_is_gone() -> None:
    known = set(roles.distro_names(RESOURCES))
    found = {path.name for path in RESOURCES.roles.glob("*/example/golden/*")}
    assert found <= known
