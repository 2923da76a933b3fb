"""Elements: what they bring in, cycles, and who asked for a package that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailimg import dib
from mailimg.errors import InputError


def element(folder: Path, name: str, deps: str = "", packages: str = "", pkg_map: str = "") -> Path:
    place = folder / name
    place.mkdir(parents=True)
    (place / "element-deps").write_text(deps)
    if packages:
        (place / "package-installs.yaml").write_text(packages)
    if pkg_map:
        (place / "pkg-map").write_text(pkg_map)
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    element(tmp_path, "root")
    (tmp_path / "root" / "element-provides").write_text("operating-system\n")
    return tmp_path


def test_a_cycle_is_named(folder: Path) -> None:
    element(folder, "one", "two\n")
    element(folder, "two", "three\n")
    element(folder, "three", "one\n")
    with pytest.raises(InputError) as caught:
        dib.Elements([folder]).expand(("root", "one"))
    (problem,) = caught.value.problems
    assert problem.startswith("elements depend on each other in a cycle: ")
    circle = problem.split(": ")[1].split(" -> ")
    assert circle[0] == circle[-1]
    assert set(circle) == {"one", "two", "three"}


def test_two_ways_to_one_element_are_no_cycle(folder: Path) -> None:
    element(folder, "top", "left\nright\n")
    element(folder, "left", "bottom\n")
    element(folder, "right", "bottom\n")
    element(folder, "bottom")
    assert set(dib.Elements([folder]).expand(("root", "top"))) == {"root", "top", "left", "right", "bottom"}


def test_own_folder_comes_first(folder: Path, tmp_path: Path) -> None:
    own = element(tmp_path / "own", "root")
    (own / "element-provides").write_text("operating-system\n")
    assert dib.Elements([tmp_path / "own", folder]).expand(("root",))["root"] == own


def test_who_asked_for_a_package(folder: Path) -> None:
    names = '{"family": {"debian": {"daemon": "clamav-daemon"}}}'
    elements = {
        "one": element(folder, "one", packages="amavisd-new:\n"),
        "two": element(folder, "two", packages="daemon:\n", pkg_map=names),
    }
    assert dib.asker("amavisd-new", elements) == "one"
    assert dib.asker("clamav-daemon", elements) == "two"
    assert dib.asker("amavisd", elements) == "unknown"


def test_a_package_that_does_not_exist_is_named(folder: Path, tmp_path: Path) -> None:
    elements = {"mail": element(folder, "mail", packages="postfixx:\n"), "package-installs": element(folder, "x")}
    reader = dib.DibLog(lambda phase, hook: None)
    reader.feed("dib-run-parts Running /tmp/in_target.d/install.d/01-package-installs")
    reader.feed("> E: Unable to locate package postfixx")
    error = dib.failure(reader, 1, elements, tmp_path / "log", tmp_path)
    assert error.message == "there is no package postfixx (element mail)"
    assert error.tail == ("> E: Unable to locate package postfixx",)
