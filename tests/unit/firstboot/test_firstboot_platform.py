"""What smtp-out and pop-imap-lda ask of the agent: keys in PEM, files for each entry of a list, mount points."""

import copy
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from firstboot_machine import INSTANCE, ROLE, SITE, role

from mailimg_firstboot import node, probes, rendering, rolefile, secret, site
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.rendering import MASK, RenderedFile

PEM = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n"
HASH = "{SHA512-CRYPT}$6$salt$" + "h" * 86


def dkim(domain: str, key: str = "literal:" + PEM) -> Dict[str, str]:
    return {"domain": domain, "selector": "s1", "key": key}


def problems(document: Dict[str, Any]) -> List[str]:
    try:
        site.load(document, role())
    except DocumentError as error:
        return list(error.problems)
    return []


def with_dkim(*entries: Dict[str, str], domains: Tuple[str, ...] = ("example.org",)) -> Dict[str, Any]:
    return {**SITE, "domains": list(domains), "dkim": list(entries)}


def with_each(**changes: Any) -> rolefile.RoleFile:
    document = copy.deepcopy(ROLE)
    document["files"] = [{"template": "key.j2", "path": "/etc/keys/@.pem", "owner": "root", "group": "root",
                          "mode": "0600", "secret": True, "each": "dkim.domain", **changes}]
    return rolefile.load(json.dumps(document).encode())


@pytest.mark.parametrize(("document", "wanted"), [
    (with_dkim(dkim("example.org")), []),
    (with_dkim(dkim("Example.ORG")), []),
    (with_dkim(dkim("example.org"), domains=("example.org", "example.net")),
     ["site: dkim: no key for example.net; each of `domains` needs one"]),
    (with_dkim(dkim("example.org"), dkim("example.com")), ["site: dkim[1].domain: example.com is not among `domains`"]),
    (with_dkim(dkim("example.org"), dkim("EXAMPLE.org")), ["site: dkim[1].domain: EXAMPLE.org stands there twice"]),
    ({**SITE, "masters": [{"login": "a", "password": "literal:x"}, {"login": "A", "password": "literal:x"}]},
     ["site: masters[1].login: A stands there twice"]),
    ({**SITE, "smarthost": None}, []),
    ({**SITE, "storage": {"server": "nfs1", "export": "/a/../b"}},
     ['site: storage.export: "/a/../b" is not an absolute path without `..`, blanks and special characters']),
    ({**SITE, "relay_account": {"login": "a b", "password": "literal:x"}},
     ['site: relay_account.login: "a b" is not a login such as anna.k: letters, digits, dot, hyphen and underscore']),
])
def test_site_keys(document: Dict[str, Any], wanted: List[str]) -> None:
    assert problems(document) == wanted


@pytest.mark.parametrize("key", [
    "literal:x", PEM, "literal:" + PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"), "literal:" + PEM + "x",
    "literal:" + PEM.replace("bm90", "bm 90"), "file:/a b", "file:relative",
])
def test_wrong_keys_are_refused_and_not_shown(key: str) -> None:
    (found,) = problems(with_dkim(dkim("example.org", key)))
    assert found.startswith("site: dkim[0].key: the value (not shown) is not a secret reference to a private key")


def test_pem_secrets() -> None:
    document = site.load(with_dkim(dkim("example.org"), dkim("example.net", "file:/run/key"),
                                   domains=("example.org", "example.net")), role())
    found = secret.resolve(document, lambda path: PEM.rstrip("\n").encode() if path == "/run/key" else b"")
    assert [one["key"].reveal() for one in found.site["dkim"]] == [PEM, PEM]
    assert "dkim[0].key" in found.warnings[1]
    assert secret.mask(document)["dkim"][1]["key"].reveal() == MASK


@pytest.mark.parametrize("content", [b"", b"one line\n", PEM.encode() * 2, PEM.replace("PRIVATE", "PUBLIC").encode()])
def test_wrong_pem_files(content: bytes) -> None:
    document = site.load(with_dkim(dkim("example.org", "file:/run/key")), role())
    with pytest.raises(DocumentError) as caught:
        secret.resolve(document, lambda _: content)
    assert caught.value.problems == (
        "site: dkim[0].key: /run/key: must hold one private key in PEM, not encrypted, and nothing else",)


def test_a_file_for_each_entry(tmp_path: Path) -> None:
    (tmp_path / "key.j2").write_text("{{ each.selector }} {{ each.key | pem }}")
    document = with_dkim(dkim("Example.org"), dkim("example.net"), domains=("example.org", "example.net"))
    full = secret.resolve(site.load(document, role()), lambda _: b"").site
    here = node.make("mx-1", INSTANCE, full, role())
    files = rendering.render_all(with_each(), full, here, str(tmp_path))
    assert [one.path for one in files] == ["/etc/keys/example.org.pem", "/etc/keys/example.net.pem"]
    assert files[0] == RenderedFile(files[0].path, f"s1 {PEM}".encode(), "root", "root", 0o600, None, True)
    with pytest.raises(DocumentError, match=r"site\.dkim\.0\.key is a secret"):
        rendering.render_all(with_each(secret=False), full, here, str(tmp_path))
    without = secret.resolve(site.load(SITE, role()), lambda _: b"").site
    assert rendering.render_all(with_each(), without, here, str(tmp_path)) == []


@pytest.mark.parametrize("changes", [{"path": "/etc/keys/all.pem"}, {"each": None}])
def test_each_and_its_place_go_together(changes: Dict[str, Any]) -> None:
    with pytest.raises(DocumentError, match="if, and only if, there is `each`"):
        with_each(**changes)


def test_dovecot_values() -> None:
    assert rendering.dovecot('a "b" \\ #c') == '"a \\"b\\" \\\\ #c"'
    with pytest.raises(ValueError, match="control character"):
        rendering.dovecot("a\nb")


@pytest.mark.parametrize("value", [HASH, HASH.partition("}")[2], "{BLF-CRYPT}$2y$05$" + "h" * 53, MASK])
def test_hashed_passwords(value: str) -> None:
    assert rendering.crypted(value) == value


@pytest.mark.parametrize("value", ["hunter2", "{PLAIN}hunter2", "{SHA512-CRYPT}hunter2", HASH + ":x", HASH + "\n", ""])
def test_passwords_that_are_not_hashed(value: str) -> None:
    with pytest.raises(ValueError, match="crypted") as caught:
        rendering.crypted(value)
    assert "hunter2" not in str(caught.value)


def test_mount_points(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("36 35 98:0 / / rw - ext4 /dev/vda1 rw\n"
                     "40 36 0:42 /NFSVOL /MAILBOXES rw,relatime shared:1 - nfs4 nfs1:/NFSVOL rw\nshort line\n")
    assert probes.mount("/MAILBOXES", "storage", str(table)) is None
    assert probes.mount("/MAIL", "storage", str(table)) == (
        "not a mount point; waiting for what the site key `storage` names to be mounted there")


def test_mount_check_of_role_json() -> None:
    mount = {"check": "mount", "name": "mailboxes", "path": "/MAILBOXES", "site": "storage"}
    document = {**ROLE, "health": [mount]}
    found = rolefile.load(json.dumps(document).encode()).health[0]
    assert found == rolefile.HealthCheck("mount", "mailboxes", 0, "/MAILBOXES", "storage")
    del mount["site"]
    with pytest.raises(DocumentError) as caught:
        rolefile.load(json.dumps(document).encode())
    assert caught.value.problems == ("role.json: health[0]: mount needs `path` and `site` and nothing else",)
