"""`mailimg verify --cloud`: real Keystone, Octavia and Barbican beside the site that each verification has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloud
import pytest
import yaml
from cloud.project import Project
from cloud.verification import described

from mailimg import manifest
from mailimg.verify import membership

pytestmark = pytest.mark.boot


@pytest.fixture(scope="module", params=["smtp-out", "pop-imap-lda"])
def verified(request: pytest.FixtureRequest, rig: cloud.Rig, images: Path, store: Path,
             tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Project, dict[str, str]]:
    """What `mailimg verify --cloud` says of a role; the project that it was in, and its pools."""
    role = request.param
    image = images / f"{role}-debian-12.qcow2"
    project = rig.project()
    ports = {one["name"]: one["port"] for one in manifest.read(image)["contract"]["ports"]}
    pools = project.load_balancer(f"verify-{role}", ports).pools
    file = tmp_path_factory.mktemp("cloud") / "cloud.yaml"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(described(rig, project, pools)))
    command = [str(Path(sys.executable).parent / "mailimg"), "verify", str(image), "--by", "nspawn", "--json",
               "--cloud", str(file), "--store", str(store)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert told.returncode in (0, 1)
    return json.loads(told.stdout), project, pools


def test_a_node_joins_serves_and_leaves(verified: tuple[dict[str, Any], Project, dict[str, str]]) -> None:
    result, _, _ = verified
    words = "\n".join(f"{'ok' if one['ok'] else 'FAILED'} {one['name']}: {one['detail']}" for one in result["checks"])
    assert result["ok"], "\n".join([words, *result["console"]])
    wanted = {name for name, _ in [*membership.joined(True), *membership.parting()]}
    assert wanted <= {one["name"] for one in result["checks"]}
    states = {one["name"]: one["state"] for one in result["agent"]["steps"]}
    assert {states[name] for name in ("join", "certificate", "balancer")} == {"done"}


def test_the_cloud_is_as_it_was(verified: tuple[dict[str, Any], Project, dict[str, str]]) -> None:
    _, project, pools = verified
    assert {port: project.members(pool) for port, pool in pools.items()} == {port: [] for port in pools}
    assert project.me.get("key-manager", "/v1/secrets")["secrets"] == []
