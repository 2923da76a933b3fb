"""The check of a site document before there is a server: the same words as at boot, and no secret needed."""

import gzip
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from firstboot_machine import SITE, machine, role, with_keys

from mailimg_firstboot import cli, validation

MIME = """Content-Type: multipart/mixed; boundary="b"
MIME-Version: 1.0

--b
Content-Type: text/cloud-config

#cloud-config
write_files: []
--b
Content-Type: text/x-mailimg-site

{}
--b--
"""
LITERAL = ("site: directory.bind_password: the secret stands literally in the metadata, which every process of the "
           "instance can read; prefer file:/path")
ELSEWHERE = with_keys(SITE, directory__bind_password="file:/nobody/has/this")


def findings(tmp_path: Path, content: bytes) -> validation.Findings:
    templates = machine(tmp_path / "machine").path("/usr/share/mailimg/templates")
    return validation.validate(role(), content, "site.yaml", str(templates))


def as_bytes(document: Dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("content", [
    as_bytes(ELSEWHERE), gzip.compress(as_bytes(ELSEWHERE)), MIME.format(json.dumps(ELSEWHERE)).encode(),
    b"# comment\n" + as_bytes(ELSEWHERE),
])
def test_right_without_its_secrets(tmp_path: Path, content: bytes) -> None:
    assert findings(tmp_path, content) == validation.Findings([], [], "")


@pytest.mark.parametrize("tls", [
    {"url": "https://files.example.org/layer.pem"},
    {"certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "key": "file:/layer.key"},
])
def test_right_wherever_the_certificate_comes_from(tmp_path: Path, tls: Dict[str, str]) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    for name in ("clamd.conf.j2", "main.cf.j2"):
        (templates / name).write_text("{{ site.tls.certificate }}\n")
    (templates / "recipients.cf.j2").write_text("{{ site.tls.key }}\n")
    content = as_bytes(with_keys(ELSEWHERE, tls=tls))
    assert validation.validate(role(), content, "site.yaml", str(templates)).problems == []


def test_literal_secrets_are_warned_of_and_checked(tmp_path: Path) -> None:
    assert findings(tmp_path, as_bytes(SITE)).warnings == [LITERAL]
    templates = tmp_path / "templates"
    templates.mkdir()
    for name in ("clamd.conf.j2", "main.cf.j2"):
        (templates / name).write_text("x\n")
    (templates / "recipients.cf.j2").write_text("{{ site.directory.bind_password | crypted }}\n")
    found = validation.validate(role(), as_bytes(SITE), "site.yaml", str(templates)).problems
    assert len(found) == 1
    assert found[0] == "recipients.cf.j2 (for /etc/postfix/recipients.cf): ValueError"
    assert validation.validate(role(), as_bytes(ELSEWHERE), "site.yaml", str(templates)).problems == []


@pytest.mark.parametrize(("content", "wanted"), [
    (as_bytes(with_keys(SITE, domain=1, vips__delivery__port=0)),
     ["site: domain: unknown key; do you mean `domains`?", "site: vips.delivery.port: 0 is less than 1"]),
    (b"mailimg: [", ["site.yaml: line 1: not YAML: expected the node content, but found '<stream end>'"]),
    (b"domains: [example.org]\n", ["site: mailimg: missing"]),
    (b"", ["site: is empty; it must be a mapping: the site document, schema 1"]),
    (b"#cloud-config\n{}\n", ["site.yaml: user data without a site document"]),
    (MIME.replace("x-mailimg-site", "plain").format("a: 1").encode(), ["site.yaml: user data without a site document"]),
    (b"#!/bin/sh\n", ["site.yaml: user data without a site document"]),
])
def test_problems(tmp_path: Path, content: bytes, wanted: List[str]) -> None:
    found = findings(tmp_path, content)
    assert [one for one in found.problems if "cannot serve without it" not in one] == wanted
    assert found.hint


def test_more_than_nova_takes(tmp_path: Path) -> None:
    def size(length: int) -> List[str]:
        whole = as_bytes(ELSEWHERE)
        return findings(tmp_path, whole + b"\n" * (length - len(whole))).warnings

    # 65535 characters of base64 hold 49149 bytes; one more needs four further characters.
    assert size(49149) == []
    assert "65536 characters in base64; Nova takes 65535" in size(49150)[0]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = machine(tmp_path).root
    image = ["--role-file", str(root / "etc/mailimg/role.json"), "--templates",
             str(root / "usr/share/mailimg/templates")]
    file = tmp_path / "site.yaml"
    file.write_bytes(as_bytes(SITE))
    assert cli.main(["validate", *image, str(file)]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("right for smtp-in on debian-12\n",
                                    "mailimg-firstboot: warning: {}\n".format(LITERAL))
    file.write_bytes(as_bytes(with_keys(SITE, mailimg=2)))
    assert cli.main(["validate", *image, str(file)]) == 2
    assert capsys.readouterr().err.startswith("mailimg-firstboot: site: mailimg: 2 is not one of 1\n")
    assert cli.main(["validate", "--json", *image, str(file)]) == 2
    told_json = json.loads(capsys.readouterr().out)
    assert told_json["problems"] == ["site: mailimg: 2 is not one of 1"]
    assert sorted(told_json) == ["hint", "problems", "warnings"]
    assert cli.main(["validate", *image, str(tmp_path / "absent")]) == 2
    assert "absent: missing" in capsys.readouterr().err
