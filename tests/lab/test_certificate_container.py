"""The layer's certificate from a certificate container of a real Barbican."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificate_node import NAME, Node
from cloud import Rig

from mailimg.peers.authority import Authority
from mailimg_firstboot.cloud import barbican
from mailimg_firstboot.errors import FirstbootError, GaveUpError

pytestmark = pytest.mark.lab


def test_a_container_of_a_real_barbican(rig: Rig, tmp_path: Path) -> None:
    authority = Authority(tmp_path, Authority(tmp_path, name="company"), "company servers")
    project = rig.project()
    made = authority.issue(NAME)
    container = project.container(
        certificate=project.secret(made.certificate.read_bytes(), "certificate"),
        private_key=project.secret(made.key.read_bytes(), "private", text=False),
        intermediates=project.secret(authority.chain.encode(), "certificate"))
    credential = project.credential(barbican.RULES)
    site = {
        "cloud": {"auth_url": rig.keystone, "application_credential_id": credential.id,
                  "application_credential_secret": f"literal:{credential.secret}", "ca": rig.ca},
        "tls": {"container": f"barbican:{container}", "names": [NAME]}}
    one = Node(tmp_path / "node", site)
    with rig.down("barbican"), pytest.raises(GaveUpError, match="in Barbican: Connection refused"):
        one.boot()
    one.boot()
    assert one.served() == (made.chain.encode(), made.key.read_bytes())
    with rig.down("barbican"):
        one.boot()
    assert [words for words in one.told("warning") if "NOT RENEWED" in words]
    one.say({**site, "tls": {"container": "barbican:00000000-0000-4000-8000-00000000dead", "names": ["x.example.org"]}})
    with pytest.raises(FirstbootError, match="read container 00000000-0000-4000-8000-00000000dead in Barbican: 404"):
        one.boot()
