"""docs/site.md is what `mailimg site reference` prints of this repository."""

from __future__ import annotations

from examples import RESOURCES

from mailimg import roles
from mailimg.site import keys, reference

PAGE = RESOURCES.roles.parent / "docs" / "site.md"
ROLES = [roles.load_role(RESOURCES, name) for name in roles.role_names(RESOURCES)]
TOP = keys.load(RESOURCES)


def test_the_page_is_what_the_command_prints(regenerate: bool) -> None:
    printed = reference.text(TOP, ROLES)
    if regenerate:
        PAGE.write_text(printed, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == printed


def test_every_key_and_every_parameter_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    paths = [key.path for top in TOP if top.path != "tuning" for key in top.all()]
    assert len(paths) > 60
    for path in [*paths, *(name for role in ROLES for name in role.parameters)]:
        assert f"`{path}`" in page, path
