"""A host that is not fit to build on says so before any work."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from builder_site import Site, make_site

from mailimg import doctor, process

pytestmark = pytest.mark.lab

NOBODY = "65534"


def test_not_root(tmp_path: Path) -> None:
    # Not below tmp_path: pytest's folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="mailimg-lab-"))
    try:
        folder.chmod(0o755)
        site = make_site(folder, tmp_path / "store")
        site.hooks({})
        failed = site.build(tmp_path / "out", host=["--uid", NOBODY])
    finally:
        shutil.rmtree(folder)
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "error: building an image needs root: it mounts file systems and changes roots",
        "Run it again with sudo.",
    ]


def test_missing_tool(site: Site, tmp_path: Path) -> None:
    site.hooks({})
    output, programs = tmp_path / "out", tmp_path / "bin"
    programs.mkdir()
    for program in {tool.program for tool in doctor.all_tools()} - {"mmdebstrap"}:
        place = process.which(program)
        if place is not None:
            (programs / program).symlink_to(place)
    failed = site.build(output, host=["--path", str(programs)])
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "error: this host lacks mmdebstrap",
        "Install with: apt-get install mmdebstrap",
    ]
    assert not output.exists()
