"""What is written for CentOS 7 names nothing that OpenSSL 1.0.2, Apache 2.4.6 or ClamAV's 0.103 do not have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples import HOSTNAME, INSTANCE, RESOURCES, render, role_file

from mailimg import roles
from mailimg_firstboot import offline

# TLS 1.3 and its suites, ChaCha20 and the curves that came with 1.1.0 and 1.1.1; settings of daemons that need those.
NEWER = re.compile(
    r"TLSv1\.3|>=TLS|TLS_(?:AES|CHACHA20)_|CHACHA20|X25519|X448|ED25519|ED448|@SECLEVEL|\bMinProtocol\b|\bCiphersuites\b"
    r"|\bssl_(?:min_protocol|cipher_suites|conf_command|early_data|curve_list|dh)\b|\bSSLOpenSSLConfCmd\b"
    r"|\btls_config_file\b", re.IGNORECASE)

# Modules of httpd 2.4.6 as EL7 packages it; http2, md, brotli, proxy_hcheck and others are newer.
MODULES = frozenset({
    "alias", "authz_core", "authz_host", "deflate", "env", "expires", "filter", "headers", "mime", "mpm_event",
    "proxy", "proxy_http", "rewrite", "setenvif", "systemd", "unixd"})
NEWER_APACHE = re.compile(r"^\s*<?(?:Protocols|HttpProtocolOptions|MergeSlashes|StrictHostCheck|RegexDefaultOptions|"
                          r"IfDirective|IfFile|IfSection|ProxyHC\w+|H2\w+|CGIPassAuth)\b", re.MULTILINE)


def newer(files: dict[str, str]) -> list[str]:
    """Words in files that OpenSSL 1.0.2 cannot follow; comments do not count."""
    return [f"{name}: {word}" for name, text in files.items()
            for line in text.splitlines() if not line.lstrip().startswith("#") for word in NEWER.findall(line)]


def written(role: str) -> dict[str, str]:
    return {one.path: one.content.decode() for one in render(role, "centos-7")}


def unknown_modules(text: str) -> set[str]:
    return set(re.findall(r"^\s*LoadModule (\w+)_module ", text, re.MULTILINE)) - MODULES


@pytest.mark.parametrize("role", roles.role_names(RESOURCES))
def test_nothing_newer_than_openssl_1_0_2(role: str) -> None:
    assert newer(written(role)) == []


@pytest.mark.parametrize("line", [
    "ssl_protocols TLSv1.2 TLSv1.3;", "smtpd_tls_protocols = >=TLSv1.2", "SSLProtocol -all +TLSv1.3",
    "ssl_ciphers ECDHE-RSA-CHACHA20-POLY1305;", "tls_eecdh_auto_curves = X25519", "ssl_min_protocol = TLSv1.2",
    "ssl_conf_command Ciphersuites x;", "SSLOpenSSLConfCmd Groups x"])
def test_a_newer_word_is_found(line: str) -> None:
    assert newer({**written("sogo"), "x": line}) != []
    assert newer({"x": "# " + line}) == []


def test_a_newer_protocol_in_the_facts_is_found() -> None:
    facts = {"nginx": {"ssl_protocols": "TLSv1.2 TLSv1.3"}}
    found = newer({one.path: one.content.decode() for one in render("sogo", "centos-7", facts)})
    assert [word.partition(": ")[2] for word in found] == ["TLSv1.3", "CHACHA20", "CHACHA20"]


def test_apache_2_4_6_has_what_is_loaded_and_said() -> None:
    text = written("sogo")["/etc/httpd/conf/httpd.conf"]
    assert unknown_modules(text) == set()
    assert NEWER_APACHE.findall(text) == []
    # The unit waits for what this one sends.
    assert "LoadModule systemd_module " in text
    assert unknown_modules(text + "LoadModule http2_module modules/mod_http2.so\n") == {"http2"}
    assert NEWER_APACHE.findall(text + "Protocols h2 http/1.1\n") != []


def freshclam(role: str, distro: str, **settings: Any) -> list[str]:
    """Lines of freshclam.conf for a site's `filter.freshclam`, without comments."""
    folder = roles.load_role(RESOURCES, role).folder
    site = yaml.safe_load((folder / "example" / "site.yaml").read_text())
    site["filter"] = {**site.get("filter", {}), "freshclam": settings}
    files = offline.render(role_file(role, distro), site, HOSTNAME, INSTANCE, str(folder / "templates"), masked=True)
    text = next(one.content.decode() for one in files if Path(one.path).name == "freshclam.conf")
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("role", ["smtp-in", "smtp-out"])
def test_a_version_that_is_refused_asks_a_mirror_or_nobody(role: str) -> None:
    mirrored = freshclam(role, "centos-7", mirror="https://clamav.example.org")
    assert {"PrivateMirror https://clamav.example.org", "Checks 12"} <= set(mirrored)
    for alone in (freshclam(role, "centos-7"), freshclam(role, "centos-7", enabled=False)):
        assert {"ExcludeDatabase main", "ExcludeDatabase daily", "ExcludeDatabase bytecode"} <= set(alone)
        assert "Checks 1" in alone
    for lines in (mirrored, alone):
        assert not [line for line in lines if "clamav.net" in line]


@pytest.mark.parametrize("role", ["smtp-in", "smtp-out"])
def test_a_version_that_is_served_asks_the_public_servers(role: str) -> None:
    lines = freshclam(role, "debian-12")
    assert {"DatabaseMirror database.clamav.net", "Checks 12"} <= set(lines)
    assert not [line for line in lines if line.startswith("ExcludeDatabase")]
