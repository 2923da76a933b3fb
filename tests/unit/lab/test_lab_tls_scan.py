"""The hellos of the TLS scan, against servers made of the local TLS library in this process."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from mailimg.lab.checks import tlsscan


def answered(hello: bytes, ciphers: str, lowest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> tlsscan.Taken | None:
    """What a server without a certificate answers, as the scan reads it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = lowest
    server.set_ciphers(ciphers)
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    come.write(hello)
    with contextlib.suppress(ssl.SSLError):
        server.wrap_bio(come, go, server_side=True).do_handshake()
    return tlsscan.chosen(go.read())


def test_old_versions_are_found_where_they_are_taken() -> None:
    assert {"TLS 1.0", "TLS 1.1", "TLS 1.2"} <= set(tlsscan.provable())


@pytest.mark.parametrize("version", ["TLS 1.0", "TLS 1.1"])
def test_old_versions_are_not_found_where_they_are_refused(version: str) -> None:
    assert answered(tlsscan.hello(version, tlsscan.ANONYMOUS), "AECDH:@SECLEVEL=0") is None


def test_the_cipher_that_was_chosen() -> None:
    assert answered(tlsscan.hello("TLS 1.2", tlsscan.WEAK["anonymous"]), "AECDH-AES256-SHA:@SECLEVEL=0") == (
        tlsscan.Taken("TLS 1.2", 0xC019))
    assert answered(tlsscan.hello("TLS 1.2", tlsscan.WEAK["anonymous"], "host.example"), "ECDHE") is None


def test_answers_of_old_protocols() -> None:
    """Which no library here speaks; the bytes are those of RFC 6101."""
    ssl3 = bytes.fromhex("16030000 2a 02000026 0300".replace(" ", "")) + bytes(32) + bytes.fromhex("00 0004 00")
    assert tlsscan.chosen(ssl3) == tlsscan.Taken("SSL 3.0", 4)
    assert tlsscan.chosen(bytes.fromhex("8030 04 00 01 0002".replace(" ", ""))) == tlsscan.Taken(tlsscan.SSL2, 0)


@pytest.mark.parametrize("answer", [b"", bytes.fromhex("15030100020246"), b"554 no SMTP here\r\n"])
def test_refusals(answer: bytes) -> None:
    assert tlsscan.chosen(answer) is None


def test_a_hello_of_ssl3_has_no_extensions() -> None:
    hello = tlsscan.hello("SSL 3.0", (0x0004,))
    assert hello[:3] == b"\x16\x03\x00"
    assert hello[9:11] == b"\x03\x00"
    assert hello.endswith(bytes.fromhex("0004 0004 00ff 0100".replace(" ", "")))


def test_no_suite_is_both_weak_and_strong() -> None:
    assert not set(tlsscan.OLD) & set(tlsscan.STRONG)
    assert len(set(tlsscan.OLD)) == len(tlsscan.OLD)
