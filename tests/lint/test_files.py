"""What every file of the project keeps to: size, names, modes, and what must stand in none of them."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
import yaml
from project import ROOT, below, files, hooks, is_shell, shown, texts

MAX_LINES = 300
APT_SOURCES = (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*"))
ELEMENTS = sorted(path for path in (ROOT / "elements").iterdir() if path.is_dir())


def is_code(path: Path) -> bool:
    return path.suffix == ".py" or path.name == "Makefile" or is_shell(path)


def test_no_file_of_code_is_long() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files() if is_code(path)}
    assert len(lengths) > 50, "the search for code finds too little"
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda path: path.name)
def test_element_says_what_it_is(element: Path) -> None:
    lines = (element / "README.rst").read_text(encoding="utf-8").splitlines()
    frame = "=" * len(element.name)
    assert lines[:3] == [frame, element.name, frame]
    assert len(" ".join(lines[3:]).split()) >= 5, "it says nothing"


@pytest.mark.parametrize("hook", hooks(), ids=shown)
def test_hook(hook: Path) -> None:
    element = hook.parents[1].name
    assert hook.stat().st_mode & 0o111 == 0o111, "diskimage-builder skips a hook that is not executable"
    assert re.fullmatch(rf"\d\d-{re.escape(element)}(-[a-z0-9-]+)?", hook.name), f"is not named NN-{element}-<what>"
    lines = hook.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "set -eu" in lines
    assert "set -o pipefail" in lines


def test_distribution_names_its_own_element() -> None:
    for path in below("elements", "distro.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["element"] == path.parent.name


def test_no_failure_is_swallowed() -> None:
    swallow = re.compile(r"\|\|\s*(true|:)(\s|;|$)", re.MULTILINE)
    assert swallow.search("rm x |" + "| true\n")
    code = [(path, text) for path, text in texts() if is_code(path) or path.match("firstboot/systemd/*")]
    assert [shown(path) for path, text in code if swallow.search(text)] == []


def test_no_path_of_this_machine() -> None:
    here = re.compile(rf"(?<![\w./-]){re.escape(str(ROOT))}(?![\w-])")
    assert here.search(f"cd {ROOT}/x")
    assert [shown(path) for path, text in texts() if here.search(text)] == []


def apt_hosts() -> set[str]:
    """Hosts of this machine's package archives and of the proxies on the way to them."""
    settings = [path.read_text(errors="replace") for path in APT_SOURCES if path.is_file()]
    settings += [path.read_text(errors="replace") for path in Path("/etc/apt/apt.conf.d").glob("*")]
    return hosts("\n".join(settings))


def pip_hosts() -> set[str]:
    """Hosts that pip is told to ask on this machine."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    return hosts(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def hosts(text: str) -> set[str]:
    """The hosts of all URLs in a text, but for those that mean the machine itself."""
    urls = re.findall(r"\bhttps?://[^\s\"'<>]+", text)
    return {urllib.parse.urlsplit(url).hostname or "" for url in urls} - {"", "localhost", "127.0.0.1", "::1"}


def test_no_package_mirror() -> None:
    mirrors = apt_hosts() | pip_hosts()
    found = [
        f"{shown(path)}: {host}"
        for path, text in texts()
        for host in mirrors
        if re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", text)
    ]
    assert found == []


def test_hosts_are_found_in_sources() -> None:
    text = "deb http://one.example.org/debian x main\nURIs: https://two.example.org:8080/a\nProxy \"http://localhost:1\";"
    assert hosts(text) == {"one.example.org", "two.example.org"}


def test_each_test_module_has_a_name_of_its_own() -> None:
    """pytest imports them by their bare names: two of one name cannot be collected together."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
