"""The agent in the cloud on a real Python 3.6, with the last keystoneauth1 for it and a requests of 2017."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path

import oldest_python
import pytest
from cloud import Rig
from cloud_instance import PORTS, document

from mailimg.peers.authority import Authority
from mailimg_firstboot.cloud import barbican
from mailimg_firstboot.cloud.octavia import Octavia

pytestmark = pytest.mark.lab

HERE = Path(__file__).resolve().parent


def test_it_joins_and_leaves(rig: Rig, store_root: Path, tmp_path: Path) -> None:
    found = oldest_python.interpreter()
    if found is None:
        pytest.skip(oldest_python.ABSENT)
    python = oldest_python.environment(found, store_root / "cache", oldest_python.KEYSTONEAUTH)
    project = rig.project()
    pool = project.load_balancer("oldest", {"smtp": 25}).pools["smtp"]
    credential = project.credential([*Octavia.rules, *barbican.RULES])
    site = document(rig, credential, {"smtp": pool})
    site["masters"] = [{"login": "helpdesk", "password": f"barbican:{project.secret(b'from Barbican')}"}]
    given = {
        "site": site, "uuid": str(uuid.uuid4()),
        "role": {"schema": 1, "role": "pop-imap-lda", "distro": "centos-7", "identity": "0" * 64, "version": "0.1.0",
                 "site": [], "parameters": {}, "facts": {}, "services": [], "files": [], "health": [], "ports": PORTS},
        "faults": {"authority": {"ca": Authority(tmp_path).pem}, "silence": {"auth_url": "https://127.0.0.1:9"},
                   "wrong": {"application_credential_secret": "literal:canary"}},
    }
    done = subprocess.run(
        [str(python), str(HERE / "oldest_member.py"), str(HERE.parents[1] / "firstboot")], input=json.dumps(given),
        env=oldest_python.ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    place = f"look at pool {pool} (smtp)"
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "secret": "from Barbican", "differs": None, "left": f"pool {pool} (smtp): no member 192.0.2.10:25",
        "authority": f"StepError: {place}: the API's certificate does not chain to cloud.ca, or is of another name",
        "silence": f"TransientError: {place}: Connection refused",
        "wrong": f"StepError: {place}: authenticate at {rig.keystone}: 401 the application credential {credential.id} "
                 "is not accepted",
    }
    assert credential.secret not in done.stdout + done.stderr
