"""role.json, node, secrets and templates."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from firstboot_certificates import CHAIN, LEAF, MIDDLE, ROOT
from firstboot_machine import INSTANCE, PASSWORD, ROLE, SITE, TEMPLATES, role, with_keys

from mailimg_firstboot import node, offline, rendering, rolefile, secret, site
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.rendering import RenderedFile
from mailimg_firstboot.secret import Secret

MAIN = "main.cf.j2 (for /etc/postfix/main.cf): "


def render(tmp_path: Path, templates: Dict[str, str], document: Optional[Dict[str, Any]] = None) -> List[RenderedFile]:
    for name, text in {**TEMPLATES, **templates}.items():
        (tmp_path / name).write_text(text)
    full = secret.resolve(site.load(document or SITE, role()), lambda _: b"").site
    return rendering.render_all(role(), full, node.make("mx-1", INSTANCE, full, role()), str(tmp_path))


def test_render_all(tmp_path: Path) -> None:
    files = render(tmp_path, {})
    assert files[0] == RenderedFile("/etc/clamav/clamd.conf", b"MaxThreads 16\n", "root", "root", 0o644, "clamd", False)
    assert files[1].content == f"bind_pw = {PASSWORD}\n".encode()
    assert files[2].content == b"myhostname = mx-1.cloud.example.org\nrelay_domains =\n    example.org\n"
    assert repr(files[1]) == "RenderedFile('/etc/postfix/recipients.cf', <secret>, root:postfix 0640)"


def test_all_template_names_and_whitespace(tmp_path: Path) -> None:
    text = ("{% if param.amavis_workers > 1 %}\n"
            "  {% for one in site.domains %}\n{{ one }}\n  {% endfor %}\n{% endif %}\n"
            "{{ facts.postfix.config }} {{ node.hostname }} {{ node.instance }} {{ node.role }} {{ node.distro }}\n\n")
    assert render(tmp_path, {"main.cf.j2": text})[2].content.decode() == (
        f"example.org\n/etc/postfix mx-1 {INSTANCE} smtp-in debian-12\n\n")


@pytest.mark.parametrize(("text", "words"), [
    ("{{ site.nothing }}", MAIN + "'dict object' has no attribute 'nothing'"),
    ("{{ facts.x.y }}", MAIN + "'dict object' has no attribute 'x'"),
    ("a\n{% if %}", "main.cf.j2 line 2: Expected an expression, got 'end of statement block'"),
    ("{{ site.filter.freshclam.mirror }}", MAIN + "nothing (None) cannot stand in a file "
     "as it is; test it, or use a filter (yes_no, join, lines)"),
    ("{{ site.filter.spf.reject_fail }}", MAIN + "a bool cannot stand in a file as it is; "
     "test it, or use a filter (yes_no, join, lines)"),
    ("{{ site.domains }}", MAIN + "a list cannot stand in a file as it is; test it, or "
     "use a filter (yes_no, join, lines)"),
    ("{{ site.directory.bind_password }}", MAIN + "site.directory.bind_password is a "
     "secret: only a file with `secret: true` may hold it"),
    ("{{ site.directory.bind_password | perl }}", MAIN + "site.directory.bind_password is "
     "a secret: only a file with `secret: true` may hold it"),
    ("{% include 'x.j2' %}", "/etc/postfix/main.cf: template x.j2 is not there"),
])
def test_template_problems(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        render(tmp_path, {"main.cf.j2": text})
    assert caught.value.problems == (words,)
    assert caught.value.hint == "The templates belong to the role: roles/smtp-in/templates."


def test_all_template_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        render(tmp_path, {"main.cf.j2": "{{ a }}", "clamd.conf.j2": "{{ b }}"})
    assert len(caught.value.problems) == 2


def test_a_problem_in_a_secret_file_does_not_quote_it(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        render(tmp_path, {"recipients.cf.j2": "{{ site.directory.bind_password | int(default=site) }}"
                                              "{{ site.directory.bind_password | postfix_network }}"})
    assert "correct" not in str(caught.value)


@pytest.mark.parametrize(("name", "value", "wanted"), [
    ("postfix", "a$b", "a$$b"),
    ("postfix_network", "2001:db8::/64", "[2001:db8::]/64"),
    ("postfix_network", "10.0.0.0/24", "10.0.0.0/24"),
    ("perl", "it's \\ @x $y", "'it\\'s \\\\ @x $y'"),
    ("ldap_value", "a*(b)\\\0", "a\\2a\\28b\\29\\5c\\00"),
    ("regex", "a.b+c/d", "a\\.b\\+c\\/d"),
    ("yes_no", True, "yes"),
    ("yes_no", False, "no"),
    ("pem", "x\n\n", "x\n"),
    ("pem", "x", "x\n"),
    ("lines", ["a", "b"], "\n    a\n    b"),
    ("lines", [], ""),
])
def test_filters(name: str, value: Any, wanted: str) -> None:
    assert rendering.FILTERS[name](value) == wanted


@pytest.mark.parametrize(("name", "value"), [
    ("postfix", "a\nb"), ("perl", "a\nb"), ("regex", "a\rb"), ("lines", ["a\nb"]), ("yes_no", "false"), ("yes_no", 1),
    ("postfix_network", "x"),
])
def test_filters_refuse(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        rendering.FILTERS[name](value)


def test_a_secret_shows_itself_nowhere() -> None:
    one = Secret("hunter2")
    assert one.reveal() == "hunter2"
    assert {str(one), repr(one), f"{one}", f"{one:>3}", "%s" % one, str([one]), json.dumps(one, default=str)} == {
        "<secret>", "[<secret>]", '"<secret>"'}
    with pytest.raises(TypeError, match="a secret is not written anywhere"):
        pickle.dumps(one)
    assert copy.deepcopy({"a": one}) == {"a": one}
    assert one == Secret("hunter2")
    assert one != Secret("hunter3")
    assert len({one, Secret("hunter2")}) == 1


def test_secret_files() -> None:
    document = site.load(with_keys(SITE, directory__bind_password="file:/run/ad"), role())
    found = secret.resolve(document, lambda path: b"p\xc3\xa4ss\n" if path == "/run/ad" else b"")
    assert found.site["directory"]["bind_password"].reveal() == "päss"
    assert found.warnings == []
    assert document["directory"]["bind_password"] == "file:/run/ad", "the reference stays what it was"


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "is not UTF-8 text"),
    (b"hunter2\nmore\n", "must hold one line without control characters and without blanks at its ends"),
    (b" hunter2", "must hold one line without control characters and without blanks at its ends"),
    (b"hunter2\r\n", "must hold one line without control characters and without blanks at its ends"),
])
def test_wrong_secret_files(content: bytes, words: str) -> None:
    document = site.load(with_keys(SITE, directory__bind_password="file:/run/ad"), role())
    with pytest.raises(DocumentError) as caught:
        secret.resolve(document, lambda _: content)
    assert caught.value.problems == (f"site: directory.bind_password: /run/ad: {words}",)


def test_a_missing_secret_file() -> None:
    def read(path: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", path)

    document = site.load(with_keys(SITE, directory__bind_password="file:/run/ad"), role())
    with pytest.raises(DocumentError) as caught:
        secret.resolve(document, read)
    assert caught.value.problems == (
        "site: directory.bind_password: cannot read /run/ad: No such file or directory",)


def test_offline(tmp_path: Path) -> None:
    for name, text in TEMPLATES.items():
        (tmp_path / name).write_text(text)
    files = offline.render(role(), SITE, "mx-1", INSTANCE, str(tmp_path), masked=True)
    text = offline.shown(files)
    assert "==> /etc/postfix/recipients.cf root:postfix 0640 secret\nbind_pw = <secret>\n" in text
    assert PASSWORD not in text
    files = offline.render(role(), SITE, "mx-1", INSTANCE, str(tmp_path), masked=False)
    offline.write(files, str(tmp_path / "out"))
    written = tmp_path / "out/etc/postfix/recipients.cf"
    assert written.read_text() == f"bind_pw = {PASSWORD}\n"
    assert written.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "out/etc/postfix/main.cf").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("hostname", "domain", "wanted"), [
    ("mx-1.novalocal", "cloud.example.org", ("mx-1", "mx-1.cloud.example.org")),
    ("MX-1", "Cloud.example.org", ("mx-1", "mx-1.cloud.example.org")),
    ("mx-1.novalocal.", None, ("mx-1", "mx-1.novalocal")),
    ("mx-1", None, ("mx-1", "mx-1")),
])
def test_node(hostname: str, domain: Optional[str], wanted: Tuple[str, str]) -> None:
    found = node.make(hostname, INSTANCE, {"cloud_domain": domain} if domain else {}, role())
    assert (found.hostname, found.fqdn) == wanted
    assert found[2:] == (INSTANCE, "smtp-in", "debian-12")


@pytest.mark.parametrize(("hostname", "instance", "words"), [
    ("mx_1", INSTANCE, "metadata: hostname: 'mx_1' is not a host name"),
    ("mx-1\n10.0.0.1 evil", INSTANCE, "metadata: hostname: 'mx-1\\n10.0.0.1 evil' is not a host name"),
    ("mx-1.a b", INSTANCE, "metadata: hostname: 'mx-1.a b' is not a host name"),
    ("", INSTANCE, "metadata: hostname: '' is not a host name"),
    ("localhost", INSTANCE,
     "metadata: hostname: localhost is the name of every machine; give the server a name of its own"),
    ("mx-1", "x\ny", "metadata: uuid: 'x\\ny' is not the id of an instance"),
])
def test_wrong_nodes(hostname: str, instance: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        node.make(hostname, instance, {}, role())
    assert caught.value.problems == (words,)


def test_role_file() -> None:
    found = role()
    assert found.services[1] == rolefile.Service("postfix", "postfix@-.service")
    assert found.files[1] == rolefile.TemplateFile(
        "recipients.cf.j2", "/etc/postfix/recipients.cf", "root", "postfix", 0o640, "postfix", True)
    assert found.files[0].secret is False
    assert found.health[0] == rolefile.HealthCheck("unix", "clamd", 0, "/run/clamav/clamd.ctl")


def with_file(**changes: Any) -> Dict[str, Any]:
    document = copy.deepcopy(ROLE)
    document["files"][0].update(changes)
    return document


@pytest.mark.parametrize(("document", "problem"), [
    ({**ROLE, "schema": 2}, "role.json: schema: 2 is not one of 1"),
    ({**ROLE, "service": []}, "role.json: service: unknown key; do you mean `services`?"),
    ({key: ROLE[key] for key in ROLE if key != "facts"}, "role.json: facts: missing"),
    (with_file(service="clam"), "role.json: files[0].service: clam is no service of the role; do you mean `clamd`?"),
    (with_file(secret=True), "role.json: files[0].mode: a secret file must be closed to others; 0644 is not"),
    (with_file(mode="644"), 'role.json: files[0].mode: "644" is not an octal mode such as "0644"'),
    (with_file(path="/etc/../x"), 'role.json: files[0].path: "/etc/../x" is not an absolute path without `..`'),
    (with_file(template="../x"), 'role.json: files[0].template: "../x" is not a file name'),
    (with_file(path="/etc/postfix/main.cf"), "role.json: files[2].path: /etc/postfix/main.cf is written twice"),
    ({**ROLE, "services": [*ROLE["services"], ROLE["services"][0]]}, "role.json: services: clamd stands there twice"),
    ({**ROLE, "health": [{"check": "smtp", "name": "x"}]}, "role.json: health[0]: smtp needs `port` and nothing else"),
    ({**ROLE, "health": [{"check": "unix", "name": "x", "path": "/x", "port": 1}]},
     "role.json: health[0]: unix needs `path` and nothing else"),
    ({**ROLE, "parameters": {"x": {"type": "integer"}}}, "role.json: parameters.x.default: missing"),
])
def test_wrong_role_files(document: Any, problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        rolefile.load(json.dumps(document).encode())
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_role_file_that_is_no_json(content: bytes) -> None:
    with pytest.raises(DocumentError, match=r"role\.json: not JSON"):
        rolefile.load(content)


@pytest.mark.parametrize(("chain", "rooted"), [
    (CHAIN, True), (LEAF.pem + MIDDLE.pem, False), (LEAF.pem, False), (ROOT.pem, True),
    ("# Fetched on the instance from https://pki.example.org/layer.p12.", False), ("", False),
])
def test_whether_a_chain_ends_at_itself(chain: str, rooted: bool) -> None:
    assert rendering.rooted(chain) is rooted
