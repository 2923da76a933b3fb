"""`mailimg lab` with wrong input: says everything that is wrong, starts nothing, leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mailimg.lab import site, state
from mailimg.lab.peers import dkim_pair
from mailimg.lab.plan import Image, make, roles
from mailimg.peers.authority import Authority
from mailimg.resources import installed
from mailimg.roles import load_distro, load_role
from mailimg.site import check

pytestmark = pytest.mark.lab

NAME = "no-such-lab"


def lab(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "mailimg"), "lab", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    assert not state.State(NAME).folder.exists()


def test_missing_images_are_all_named(tmp_path: Path) -> None:
    told = lab("up", "--name", NAME, "--images", tmp_path, "--store", tmp_path / "store")
    assert told.returncode == 2
    lines = told.stderr.splitlines()
    wanted = [f"error: {tmp_path}/{role}-debian-12.qcow2: there is no such image" for role in roles("nfs")]
    assert lines[:-1] == wanted
    assert lines[-1].startswith("Build them: mailimg build --role nfs --role smtp-in --role smtp-out --role ")
    assert "nfs" not in lab("up", "--name", NAME, "--images", tmp_path, "--storage", "bind").stderr


@pytest.mark.parametrize(("words", "code", "said"), [
    (("up", "--name", "Not A Name"), 2, "error: --name 'Not A Name': small letters"),
    (("up", "--storage", "ceph"), 2, "'ceph' is not one of 'nfs', 'bind'"),
    (("up", "--memory", "nfs"), 2, "error: --memory 'nfs': is not NAME=VALUE"),
    (("status", "--name", NAME), 1, f"error: lab {NAME}: does not run"),
    (("logs", "smtp-in", "--name", NAME), 1, f"error: lab {NAME}: does not run"),
    (("shell", "--name", NAME, "smtp-in"), 1, f"error: lab {NAME}: does not run"),
    (("test", "--name", NAME), 1, f"error: lab {NAME}: does not run"),
])
def test_what_cannot_be_done_is_said(words: tuple[str, ...], code: int, said: str) -> None:
    told = lab(*words)
    assert (told.returncode, said in told.stderr) == (code, True), told.stderr
    assert "Traceback" not in told.stderr


def test_the_table_of_promises_needs_no_lab() -> None:
    told = lab("promises")
    assert told.returncode == 0
    assert told.stdout.strip() in (Path(__file__).parents[2] / "docs" / "lab-faults.md").read_text()
    found = json.loads(lab("promises", "--json").stdout)
    assert found["clamd, outwards"] == {"inbound": ["250"], "submission": ["451"], "delivery": ["250"], "imap": ["OK"],
                                        "webmail": ["200"]}


def test_ending_what_does_not_run_is_no_error() -> None:
    told = lab("down", "--name", NAME)
    assert (told.returncode, told.stderr) == (0, f"lab {NAME}: did not run\n")


def test_it_needs_root() -> None:
    script = ("import os, sys; from mailimg import cli; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
              f"sys.argv = ['mailimg', 'lab', 'status', '--name', '{NAME}']; cli.main()")
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 1
    assert "the lab needs root" in told.stderr


@pytest.mark.parametrize("role", roles("nfs"))
def test_an_instance_takes_its_document(role: str, tmp_path: Path) -> None:
    """As the agent checks it, with nothing unknown, missing or wrong."""
    resources = installed()
    ports = {name: {"contract": {"ports": load_role(resources, name).ports, "login": "debian", "min_ram_mib": 2048,
                                 "listeners": []}, "distro": "debian-12"} for name in roles("nfs")}
    plan = make({name: Image(document, name, name) for name, document in ports.items()}, name="t", storage="nfs")
    key, _ = dkim_pair()
    document = site.document(role, plan, {"people": "a", "joiner": "b"}, Authority(tmp_path).pem, key,
                             "" if role in ("smtp-in", "nfs") else "https://files.cloud.example.org:8443/layer.pem")
    file = tmp_path / "site.yaml"
    file.write_text(json.dumps(document))
    found = check.check(resources, load_role(resources, role), load_distro(resources, "debian-12"), file, "0")
    assert list(found.problems) == []
    assert all("stands literally" in warning for warning in found.warnings), found.warnings
