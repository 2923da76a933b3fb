"""Metadata: where the site document may stand, how layers are merged, and how each fault is called."""

import gzip
import json
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any, Optional, Tuple

import pytest

from mailimg_firstboot import metadata
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.metadata import BrokenMetadataError

YAML = b"mailimg: 1\ndomains: [example.org]\ndelivery: {host: a.example.org, port: 26}\n"
CLOUD_CONFIG = b"#cloud-config\nusers: []\n"


def meta(**more: Any) -> bytes:
    return json.dumps({"uuid": "u-1", "hostname": "mx-1.novalocal", **more}).encode()


def mime(*parts: Tuple[str, bytes]) -> bytes:
    message = MIMEMultipart()
    for kind, content in parts:
        message.attach(MIMEText(content.decode(), kind))
    return message.as_bytes()


@pytest.mark.parametrize("user_data", [
    YAML,
    b"# a comment\n\n" + YAML,
    b"---\n" + YAML,
    json.dumps({"mailimg": 1, "domains": ["example.org"], "delivery": {"host": "a.example.org", "port": 26}}).encode(),
    gzip.compress(YAML),
    mime(("cloud-config", CLOUD_CONFIG), ("x-mailimg-site", YAML)),
    gzip.compress(mime(("x-mailimg-site", YAML), ("x-shellscript", b"#!/bin/sh\n"))),
    b"Content-Type: text/x-mailimg-site\nMIME-Version: 1.0\n\n" + YAML,
], ids=["yaml", "comment", "dashes", "json", "gzip", "mime", "gzip-mime", "single-part"])
def test_user_data(user_data: bytes) -> None:
    found = metadata.parse(meta(), user_data, None)
    assert found.hostname == "mx-1.novalocal"
    assert found.instance == "u-1"
    assert found.document == {
        "mailimg": 1, "domains": ["example.org"], "delivery": {"host": "a.example.org", "port": 26}}


def test_a_gzipped_part_in_mime() -> None:
    message = MIMEMultipart()
    part = MIMEApplication(gzip.compress(YAML), "gzip")
    part.replace_header("Content-Type", "text/x-mailimg-site")
    message.attach(part)
    assert metadata.parse(meta(), message.as_bytes(), None).document["mailimg"] == 1


@pytest.mark.parametrize("vendor_data", [
    {"mailimg": {"mailimg": 1, "domains": ["example.net"]}},
    {"mailimg": "mailimg: 1\ndomains: [example.net]\n"},
    {"cloud-init": "mailimg: 1\ndomains: [example.net]\n", "other": 5},
    "mailimg: 1\ndomains: [example.net]\n",
    mime(("cloud-config", CLOUD_CONFIG), ("x-mailimg-site", b"mailimg: 1\ndomains: [example.net]")).decode(),
], ids=["mapping", "text", "cloud-init", "string", "mime"])
def test_vendor_data_alone(vendor_data: Any) -> None:
    found = metadata.parse(meta(), None, json.dumps(vendor_data).encode())
    assert found.document == {"mailimg": 1, "domains": ["example.net"]}


@pytest.mark.parametrize("vendor_data", [b"{}", b"null", b"", b'{"cloud-init": "#cloud-config\\n"}', b'["a"]'])
def test_vendor_data_of_another_kind(vendor_data: bytes) -> None:
    assert metadata.parse(meta(), YAML, vendor_data).document["domains"] == ["example.org"]


def test_layers() -> None:
    vendor = json.dumps({"mailimg": {"domains": ["example.net"], "delivery": {"host": "b.example.org", "tls": 1},
                                     "time": {"servers": ["ntp.example.org"]}}}).encode()
    server = {"mailimg:delivery.port": "27", "mailimg:tuning.smtp-in.amavis_workers": "4", "mailimg:state": "drain",
              "mailimg:cloud_domain": '"yes"', "group": "mail"}
    found = metadata.parse(meta(meta=server), YAML, vendor)
    assert found.document == {
        "mailimg": 1,
        "domains": ["example.org"],
        "delivery": {"host": "a.example.org", "tls": 1, "port": 27},
        "time": {"servers": ["ntp.example.org"]},
        "tuning": {"smtp-in": {"amavis_workers": 4}},
        "cloud_domain": "yes",
    }


def test_name_without_hostname() -> None:
    assert metadata.parse(b'{"uuid": "u", "name": "mx-2"}', YAML, None).hostname == "mx-2"


@pytest.mark.parametrize(("user_data", "words"), [
    (None, "no site document in metadata: the server has no user data"),
    (b"", "no site document in metadata: the server has no user data"),
    (CLOUD_CONFIG, "no site document in metadata: user data is cloud-config alone"),
    (b"#!/bin/sh\nmailimg: 1\n", "no site document in metadata: user data is a script"),
    (b"something: else\n", "no site document in metadata: user data holds none"),
    (mime(("cloud-config", CLOUD_CONFIG)), "no site document in metadata: user data holds none"),
])
def test_absent(user_data: Optional[bytes], words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        metadata.parse(meta(), user_data, None)
    assert caught.value.problems == (words,)
    assert "text/x-mailimg-site" in caught.value.hint


@pytest.mark.parametrize("content", [b'{"uuid": "u-1", "hostn', b"", b"<html>", b"\xff\xfe", b"[]", b'{"uuid": 5}'])
def test_broken_meta_data(content: bytes) -> None:
    with pytest.raises(BrokenMetadataError, match=r"^meta_data.json (is cut off or not JSON|holds no instance)"):
        metadata.parse(content, YAML, None)


def test_broken_vendor_data() -> None:
    with pytest.raises(BrokenMetadataError, match=r"^vendor_data.json is cut off or not JSON"):
        metadata.parse(meta(), YAML, b'{"mailimg": ')


@pytest.mark.parametrize(("user_data", "problem"), [
    (b"mailimg: 1\ndomains: [example.org\n",
     "user_data: line 3: not YAML: expected ',' or ']', but got '<stream end>'"),
    (b"mailimg: 1\nbind: literal:x: y\n", "user_data: line 2: not YAML: mapping values are not allowed here"),
    (b"mailimg: 1\nmailimg: 2\n", "user_data: line 2: key mailimg stands there twice"),
    (b"mailimg: 1\nfilter: {a: 1, a: 2}\n", "user_data: line 2: key a stands there twice"),
    (b"mailimg: 1\non: 5\n", "user_data: line 2: a key is not text; put it into quotes"),
    (b"mailimg: 1\na: &x [1]\nb: *x\n", "user_data: line 3: not YAML: aliases (*name) are not taken"),
    (b"mailimg: 1\na: .nan\n", "user_data: a: not a finite number"),
    (b"mailimg: 1\na: [\"\\ud800\"]\n", "user_data: a[0]: not Unicode text"),
    (b"mailimg: 1\na: \x00\n", "user_data: not YAML: a character that may not stand there"),
    (b"mailimg: 1\na: \xff\n", "user_data: not UTF-8 text"),
    (b"mailimg: 1\na: 2026-99-99\n", "user_data: not YAML: a value that cannot be read"),
    (b"mailimg: 1\na: !!python/object:os.system {}\n",
     "user_data: line 2: not YAML: could not determine a constructor for the tag "
     "'tag:yaml.org,2002:python/object:os.system'"),
    (gzip.compress(YAML)[:-12], "user_data: the gzip'ed data is cut off"),
    (b"\x1f\x8bxxxxxxxxxxxxxxxxx", "user_data: gzip'ed, but cannot be unpacked"),
    (gzip.compress(b"\0" * (2 << 20)), "user_data: more than 1048576 bytes when unpacked"),
    (mime(("x-mailimg-site", YAML), ("x-mailimg-site", YAML)),
     "user_data: 2 parts of type text/x-mailimg-site; one is expected"),
    (mime(("x-mailimg-site", b"[1]")), "user_data (text/x-mailimg-site): a mapping is expected"),
    # gzip writes the time: as a name it would be another in each process that runs these tests.
], ids=lambda value: value if isinstance(value, str) else "data")
def test_wrong(user_data: bytes, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        metadata.parse(meta(), user_data, None)
    assert caught.value.problems == (problem,)


def test_problems_never_quote_the_line() -> None:
    with pytest.raises(DocumentError) as caught:
        metadata.parse(meta(), b"mailimg: 1\nbind_password: literal:hunter2: x\n", None)
    assert "hunter2" not in str(caught.value)


def test_all_layers_are_read_before_problems_are_told() -> None:
    with pytest.raises(DocumentError) as caught:
        metadata.parse(meta(), b"mailimg: [\n", b'{"mailimg": 7}')
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["vendor_data.json", "user_data"]


@pytest.mark.parametrize(("key", "value", "problem"), [
    ("mailimg:domains.first", "x", "meta mailimg:domains.first: the path leads through a value that is not a mapping"),
    ("mailimg:domains", "[a]", "meta mailimg:domains: the value must be a scalar, not a mapping or a list"),
    ("mailimg:", "x", "meta mailimg:: a dotted path with a text is expected"),
    ("mailimg:a..b", "x", "meta mailimg:a..b: a dotted path with a text is expected"),
    ("mailimg:a", ["x"], "meta mailimg:a: a dotted path with a text is expected"),
    ("mailimg:a", "{", "meta mailimg:a: line 1: not YAML: expected the node content, but found '<stream end>'"),
])
def test_wrong_meta_keys(key: str, value: Any, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        metadata.parse(meta(meta={key: value}), YAML, None)
    assert caught.value.problems == (problem,)


def test_merge_changes_neither() -> None:
    under, over = {"a": {"b": [1]}, "c": 1}, {"a": {"d": [2]}, "c": {"e": 3}}
    merged = metadata.merge(under, over)
    merged["a"]["b"].append(9)
    merged["c"]["e"] = 9
    assert under == {"a": {"b": [1]}, "c": 1}
    assert over == {"a": {"d": [2]}, "c": {"e": 3}}
