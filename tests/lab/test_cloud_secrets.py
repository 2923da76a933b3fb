"""Secrets and certificate containers of a real Barbican, with the access rules that reading them needs and no more."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud import Rig
from cloud.project import Project
from cloud_instance import PORTS, Instance, document

from mailimg.peers.authority import Authority
from mailimg_firstboot import preparing
from mailimg_firstboot.cloud import barbican
from mailimg_firstboot.cloud.barbican import Barbican
from mailimg_firstboot.errors import DocumentError, FirstbootError, GaveUpError, StepError, TransientError
from mailimg_firstboot.host import Host
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.waiting import Clock

pytestmark = pytest.mark.lab

NOWHERE = "00000000-0000-4000-8000-00000000dead"
LINE = "correct horse; \u00e4 7"


@pytest.fixture(scope="module")
def project(rig: Rig) -> Project:
    return rig.project()


@pytest.fixture
def secrets(rig: Rig, project: Project, tmp_path: Path) -> Callable[..., Barbican]:
    """The agent's side, by default allowed to read."""

    def open_with(rules: Any = barbican.RULES) -> Barbican:
        one = Instance(tmp_path, document(rig, project.credential(rules), {"smtp": "unused"}))
        return one.host.cloud.secrets(one.work.site, one.work.role)

    return open_with


@pytest.mark.parametrize("text", [True, False])
def test_a_payload_is_what_was_stored(project: Project, secrets: Callable[..., Barbican], text: bool) -> None:
    uuid = project.secret(LINE.encode(), text=text)
    assert secrets().payload(uuid) == LINE.encode()
    href = f"https://elsewhere.example.org/v1/secrets/{uuid}"
    assert secrets().payload(href) == LINE.encode(), "of an href only the UUID counts"


def test_a_certificate_container(project: Project, secrets: Callable[..., Barbican], tmp_path: Path) -> None:
    made = Authority(tmp_path).issue("mail.example.org")
    certificate, key = made.certificate.read_bytes(), made.key.read_bytes()
    parts = {"certificate": project.secret(certificate, "certificate"), "private_key": project.secret(
        key, "private", text=False), "intermediates": project.secret(b"chain", "certificate", text=False)}
    found = secrets().certificate(project.container(**parts))
    assert found == barbican.Certificate(certificate.strip(), key, b"chain", None), "Barbican strips text"
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(("read", "words"), [
    (lambda secrets: secrets.payload(NOWHERE), f"read secret {NOWHERE} in Barbican: 404"),
    (lambda secrets: secrets.certificate(NOWHERE), f"read container {NOWHERE} in Barbican: 404"),
])
def test_what_is_not_there(secrets: Callable[..., Barbican], read: Callable[[Barbican], object], words: str) -> None:
    with pytest.raises(StepError) as caught:
        read(secrets())
    assert caught.value.message.startswith(words)
    assert "openstack secret" in caught.value.hint


def test_what_no_access_rule_allows(project: Project, secrets: Callable[..., Barbican]) -> None:
    uuid = project.secret(b"x")
    with pytest.raises(StepError, match=f"read secret {uuid} in Barbican: 401") as caught:
        secrets(barbican.RULES[1:]).payload(uuid)
    assert "{service: key-manager, method: GET, path: /v1/secrets/*/payload}" in caught.value.hint


def test_barbican_that_is_away_is_transient(rig: Rig, project: Project, secrets: Callable[..., Barbican]) -> None:
    uuid = project.secret(b"back again")
    peer = secrets()
    with rig.down("barbican"), pytest.raises(TransientError, match="in Barbican: Connection refused"):
        peer.payload(uuid)
    assert peer.payload(uuid) == b"back again"


class Machine(Host):
    """A machine with a role and a site document in its seed directory."""

    def __init__(self, root: Path, site: dict[str, Any]) -> None:
        super().__init__(str(root))
        seed = self.path("/var/lib/cloud/seed/config_drive/openstack/latest")
        seed.mkdir(parents=True)
        (seed / "meta_data.json").write_text(json.dumps({"uuid": NOWHERE, "hostname": "mail-1"}))
        (seed / "user_data").write_text(json.dumps(site))
        self.path("/etc/mailimg").mkdir(parents=True)
        self.path("/etc/mailimg/role.json").write_text(json.dumps({
            "schema": 1, "role": "pop-imap-lda", "distro": "debian-12", "identity": "0" * 64, "version": "0.1.0",
            "site": [], "parameters": {}, "facts": {}, "services": [], "files": [], "health": [], "ports": PORTS}))

    def prepare(self, patience: float = 0.0) -> dict[str, Any]:
        """The site document as steps get it."""
        options = preparing.Options(patience=patience)
        told: list[str] = []
        work = preparing.prepare(self, Clock(), preparing.read_role(self, options), options, told.append, told.append,
                              told.append)
        return work.site


def with_secret(rig: Rig, project: Project, uuid: str) -> dict[str, Any]:
    site = document(rig, project.credential(barbican.RULES), {"smtp": "unused"})
    return {**site, "masters": [{"login": "helpdesk", "password": f"barbican:{uuid}"}]}


def test_a_reference_in_the_site_document(rig: Rig, project: Project, tmp_path: Path) -> None:
    site = with_secret(rig, project, project.secret(b"{CRYPT}one-line\n"))
    assert Machine(tmp_path, site).prepare()["masters"][0]["password"] == Secret("{CRYPT}one-line")


def test_a_payload_of_two_lines_is_refused_without_being_shown(rig: Rig, project: Project, tmp_path: Path) -> None:
    site = with_secret(rig, project, project.secret(b"canary\nsecond"))
    with pytest.raises(DocumentError, match=r"site: masters\[0\]\.password: .*: must hold one line") as caught:
        Machine(tmp_path, site).prepare()
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_reference_while_barbican_is_away(rig: Rig, project: Project, tmp_path: Path) -> None:
    machine = Machine(tmp_path, with_secret(rig, project, project.secret(b"late")))
    with rig.down("barbican"), pytest.raises(GaveUpError, match=r"Connection refused \(tried [2-4] times in 1 s\)"):
        machine.prepare(patience=1.0)
    assert machine.prepare()["masters"][0]["password"] == Secret("late")


def test_a_reference_to_nothing(rig: Rig, project: Project, tmp_path: Path) -> None:
    with pytest.raises(FirstbootError, match=f"read secret {NOWHERE} in Barbican: 404"):
        Machine(tmp_path, with_secret(rig, project, NOWHERE)).prepare()
