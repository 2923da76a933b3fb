"""SELinux's mode: in the file for every boot, and in the kernel that runs."""

from pathlib import Path
from typing import Any, List

import pytest
from firstboot_machine import ROLE, SITE, FakeHost, machine, role, with_keys, work

from mailimg_firstboot import site
from mailimg_firstboot.errors import DocumentError, StepError
from mailimg_firstboot.selinux import ENFORCE, SELinux
from mailimg_firstboot.steps import selinux

CONFIG = "/etc/selinux/config"
ENFORCING = with_keys(SITE, selinux="enforcing")


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return machine(tmp_path)


def test_permissive_unless_the_site_says_otherwise(host: FakeHost) -> None:
    goal = work(host)
    assert goal.site["selinux"] == "permissive"
    assert selinux.check(host, goal) == (
        "/etc/selinux/config does not say permissive; SELinux is enforcing, not permissive")
    selinux.apply(host, goal)
    assert host.read(CONFIG) == (
        b"# mode:\nSELINUX=permissive\nSELINUXTYPE=targeted\n# Before mailimg-firstboot: enforcing\n")
    assert host.selinux.mode() == "permissive"
    selinux.undo(host, goal)
    assert host.read(CONFIG) == b"# mode:\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"
    assert host.selinux.mode() == "enforcing"


def test_enforcing_leaves_an_enforcing_image_alone(host: FakeHost) -> None:
    goal = work(host, ENFORCING)
    assert selinux.check(host, goal) is None
    selinux.apply(host, goal)
    selinux.undo(host, goal)
    assert host.fuse.changes == []


def test_a_site_that_changes_its_mind_leaves_no_trace(host: FakeHost) -> None:
    before = host.read(CONFIG)
    selinux.apply(host, work(host))
    selinux.apply(host, work(host, ENFORCING))
    assert host.read(CONFIG) == before
    assert host.selinux.mode() == "enforcing"


def test_only_what_differs_is_changed(host: FakeHost) -> None:
    goal = work(host)
    selinux.apply(host, goal)
    host.path(ENFORCE).write_text("1")
    assert selinux.check(host, goal) == "SELinux is enforcing, not permissive"
    host.fuse.changes.clear()
    selinux.apply(host, goal)
    assert host.fuse.changes == ["set SELinux permissive"]


def test_a_kernel_without_selinux(host: FakeHost) -> None:
    host.path(ENFORCE).unlink()
    assert host.selinux.mode() == "disabled"
    selinux.apply(host, work(host))
    assert selinux.check(host, work(host)) is None
    assert selinux.check(host, work(host, ENFORCING)) == (
        "/etc/selinux/config does not say enforcing; SELinux is disabled, not enforcing")
    with pytest.raises(StepError, match="booted without SELinux") as caught:
        selinux.apply(host, work(host, ENFORCING))
    assert "/.autorelabel" in caught.value.hint
    assert b"SELINUX=enforcing\n" in (host.read(CONFIG) or b""), "the next boot has it"


@pytest.mark.parametrize(("before", "after"), [
    ("", "SELINUX=permissive\n"),
    ("SELINUX = disabled \n", "SELINUX=permissive\n# Before mailimg-firstboot: disabled\n"),
    ("SELINUX=enforcing\nx\nSELINUX=disabled", "SELINUX=permissive\nx\n# Before mailimg-firstboot: enforcing\n"),
    ("SELINUX=permissive\n", "SELINUX=permissive\n"),
    ("#SELINUX=enforcing\nSELINUXTYPE=mls\n", "#SELINUX=enforcing\nSELINUXTYPE=mls\nSELINUX=permissive\n"),
])
def test_lines(before: str, after: str) -> None:
    assert selinux.with_mode(before, "permissive") == after
    assert selinux.with_mode(after, "permissive") == after


def test_a_distribution_without_it(host: FakeHost) -> None:
    goal = work(host)
    del goal.role.facts["selinux"]
    assert selinux.check(host, goal) is None
    selinux.apply(host, goal)
    selinux.undo(host, goal)
    assert host.fuse.changes == []
    goal.role.facts["selinux"] = {}
    with pytest.raises(StepError, match=r"facts\.selinux names no config"):
        selinux.check(host, goal)


def test_a_site_that_wants_it_where_there_is_none() -> None:
    facts = {name: one for name, one in ROLE["facts"].items() if name != "selinux"}
    without = role(facts=facts)
    with pytest.raises(DocumentError) as caught:
        site.load(ENFORCING, without)
    assert caught.value.problems == ("site: selinux: enforcing, but the images of debian-12 have no SELinux",)
    assert site.load(with_keys(SITE, selinux="permissive"), without)["selinux"] == "permissive"
    assert site.load(ENFORCING, role())["selinux"] == "enforcing"


@pytest.mark.parametrize("mode", ["disabled", "Enforcing", True, None])
def test_other_modes_are_refused(mode: Any) -> None:
    with pytest.raises(DocumentError, match="site: selinux: "):
        site.load(with_keys(SITE, selinux=mode), role())


def test_the_kernel_is_asked_and_told() -> None:
    ran: List[List[str]] = []
    real = SELinux(Path, lambda argv, _what: ran.append(argv))
    real.set("permissive")
    real.set("enforcing")
    assert ran == [["setenforce", "0"], ["setenforce", "1"]]
