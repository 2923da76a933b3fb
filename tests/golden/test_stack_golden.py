"""The template of the example platform (`mailimg stack example`), byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples import RESOURCES

from mailimg import roles
from mailimg.site import keys, usage
from mailimg.stack import document, platform, render

FOLDER = Path(__file__).parent / "stack"


def files() -> dict[str, str]:
    site = document.load(render.TEMPLATES / render.EXAMPLE)
    known = [roles.load_role(RESOURCES, name) for name in roles.role_names(RESOURCES)]
    plan = platform.plan(known, {role.name: roles.load_image(RESOURCES, role.name) for role in known}, site)
    used = {role.name: usage.used(role) for role in known}
    texts = {group.name: document.text(document.of_role(site, group, keys.load(RESOURCES), used))
             for group in plan.groups}
    return dict(render.render(plan, document.Documents(texts, site, (), 1560)).files)


@pytest.mark.parametrize("name", [render.PLATFORM, render.ENVIRONMENT])
def test_the_example_renders_to_golden(name: str, regenerate: bool) -> None:
    path, text = FOLDER / name, files()[name]
    if regenerate:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_lines_are_what_a_person_writes() -> None:
    for name, text in files().items():
        assert not [line for line in text.splitlines() if line != line.rstrip()], name
        assert "\n\n\n" not in text, name
