"""Mailbox servers believe each other's certificate, which is their layer's own, by what the agent accepted it by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from examples import HOSTNAME, INSTANCE, RESOURCES, role_file

from mailimg import roles
from mailimg.peers.authority import Authority
from mailimg_firstboot import node, rendering, secret, site

ROLE = "pop-imap-lda"
DISTROS = roles.distro_names(RESOURCES)


def believed(distro: str, chain: str, ca: str, vips: str) -> str:
    """What is in the file that Dovecot checks siblings by; of the system's trust store, its path."""
    known = role_file(ROLE, distro)
    folder = roles.load_role(RESOURCES, ROLE).folder
    document: dict[str, Any] = site.parse((folder / "example" / "site.yaml").read_bytes(), "site")
    document["tls"] |= {"certificate": chain, "ca": ca}
    document["vips"]["ca"] = vips
    full = secret.resolve(site.load(document, known), lambda path: Path(path).read_bytes()).site
    here = node.make(HOSTNAME, INSTANCE, full, known)
    rendered = rendering.render_all(known, full, here, str(folder / "templates"))
    files = {one.path: one.content.decode() for one in rendered}
    (text,) = [content for path, content in files.items() if path.endswith("/dovecot.conf")]
    paths = re.findall(r"^  (?:ssl_client_ca_file = |ssl_ca = <)(\S+)$", text, re.MULTILINE)
    assert len(paths) == 6, "IMAP, POP3 and ManageSieve, of both Dovecots"
    (path,) = set(paths)
    return path if path == known.facts["trust"]["bundle"] else files[path]


@pytest.mark.parametrize("distro", DISTROS)
def test_siblings_are_believed_by_what_the_certificate_was_accepted_by(distro: str, tmp_path: Path) -> None:
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
    own, other = Authority(tmp_path / "own"), Authority(tmp_path / "other", name="other")
    whole = own.issue("imap.example.org").chain
    without_root = whole.replace(own.pem, "")
    assert without_root.count("BEGIN CERTIFICATE") == 1
    for vips in ("system", other.pem):
        assert own.pem in believed(distro, without_root, own.pem, vips), "tls.ca"
        assert own.pem in believed(distro, whole, "system", vips), "a root in the chain"
        both = believed(distro, whole, other.pem, vips)
        assert own.pem in both, "a root in the chain, whatever tls.ca is"
        assert other.pem in both, "and a renewed one may end at tls.ca"
        assert believed(distro, without_root, "system", vips) == role_file(ROLE, distro).facts["trust"]["bundle"]


@pytest.mark.parametrize("distro", DISTROS)
def test_a_renewal_writes_what_siblings_are_believed_by(distro: str, tmp_path: Path) -> None:
    """It writes the files that hold the chain as a whole (mailimg_firstboot.renewal.files)."""
    whole = Authority(tmp_path).issue("imap.example.org").chain
    assert whole.strip() in believed(distro, whole, "system", "system")
