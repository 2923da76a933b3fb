"""What is in the store is used only while it is what was built; what a role asks for and does not exist is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from builder_site import HOOK, Site

pytestmark = pytest.mark.lab


def test_a_layer_that_was_truncated_is_built_again(site: Site, tmp_path: Path) -> None:
    site.hooks({"install.d/50-tiny-writes": HOOK + "seq 10000 > /etc/tiny\n"})
    first = site.build(tmp_path / "one")
    assert first.returncode == 0, first.stderr
    layer = next(one for one in site.plan()["layers"] if one["name"] == "tiny")
    victim = site.store / "layers" / layer["identity"] / "tree" / "etc" / "tiny"
    times = victim.stat()
    os.truncate(victim, 100)
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))

    second = site.build(tmp_path / "two")
    assert second.returncode == 0, second.stderr
    assert "layer tiny changed in the store: built again" in second.stderr
    (built,) = json.loads(second.stdout)
    assert "tiny" in built["layers_built"]
    assert "distribution" not in built["layers_built"]
    assert victim.read_text().endswith("\n10000\n")
    assert built["sha256"] == json.loads(first.stdout)[0]["sha256"], "and it is what it was"


def test_a_package_that_does_not_exist_is_named(site: Site, tmp_path: Path) -> None:
    site.hooks({})
    (site.folder / "elements" / "tiny" / "package-installs.yaml").write_text("no-such-mail-daemon:\n")
    failed = site.build(tmp_path / "out")
    assert failed.returncode == 1
    assert (
        "error: layer tiny of roles/tiny/role.yaml on debian-12: "
        "there is no package no-such-mail-daemon (element tiny)" in failed.stderr
    )
    site.assert_quiet()
