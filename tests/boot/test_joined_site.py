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

from mailimg import manifest
from mailimg.verify import addresses as at
from mailimg.verify import membership
from mailimg_firstboot.cloud import barbican, octavia

pytestmark = pytest.mark.boot

# What the issue promises of a run that changes nothing, natively, with every peer answering.
UNCHANGED_SECONDS = 2.0


def described(rig: cloud.Rig, project: Project, pools: dict[str, str]) -> dict[str, Any]:
    """The cloud as an operator describes it; the node reaches the services by ports of the bridge."""
    credential = project.credential([*octavia.Octavia.rules, *barbican.RULES])
    ports = rig.services.ports

    def url(name: str) -> str:
        return f"https://{at.HOST4}:{ports[name]}"

    return {
        "cloud": {
            "auth_url": url("keystone") + "/v3", "application_credential_id": credential.id,
            "application_credential_secret": f"literal:{credential.secret}", "ca": rig.ca,
            "endpoints": {"load-balancer": url("octavia"), "key-manager": url("barbican")},
        },
        "balancer": {"pools": pools},
        "token": project.me.auth.get_token(project.me.session),
        "reach": {ports[name]: f"127.0.0.1:{ports[name]}" for name in ("keystone", "octavia", "barbican")},
    }


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


def test_a_run_that_changes_nothing_is_short(verified: tuple[dict[str, Any], Project, dict[str, str]]) -> None:
    result, _, _ = verified
    told = next(one["detail"] for one in result["checks"] if one["name"] == "a second run changes nothing")
    assert float(told.split()[0]) < UNCHANGED_SECONDS, told
