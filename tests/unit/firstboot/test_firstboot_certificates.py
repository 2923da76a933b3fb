"""Which certificate a run goes on with: the source's, the kept one, or none."""

import traceback
from pathlib import Path
from typing import Any, Dict

import pytest
from firstboot_certificates import CHAIN, LEAF, MIDDLE, ROOT, Issued, issue, key_pem, made
from firstboot_layer import BY_URL, CERTIFICATE, KEY, URL, LayerHost
from firstboot_machine import SITE, machine, role, with_keys, work

from mailimg_firstboot import certificates, expiry, offline, preparing
from mailimg_firstboot.certificates import KEPT
from mailimg_firstboot.cloud.barbican import Certificate as Stored
from mailimg_firstboot.errors import FirstbootError, GaveUpError, StepError, TransientError
from mailimg_firstboot.report import read_events
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.steps import certificate as step
from mailimg_firstboot.tls.download import UntrustedError

UUID = "5f0c5a0e-3f4e-4d0e-9a53-7a3f2a1b0c9e"
AWAY = TransientError("get {}: Connection refused".format(URL))
GONE = StepError("get {}: 404 Not Found".format(URL))
NEWER = issue("newer", MIDDLE, ["mail.example.org"], ends=180.0)
BY_CONTAINER = with_keys(SITE, tls={"container": "barbican:" + UUID, "names": ["mail.example.org"]}, cloud={
    "auth_url": "https://keystone.example.org/v3", "application_credential_id": "0123456789abcdef",
    "application_credential_secret": "literal:s"})
INLINE = with_keys(SITE, tls={"certificate": CHAIN, "key": "literal:" + LEAF.key})


def pem(one: Issued, rest: str = MIDDLE.pem + ROOT.pem) -> bytes:
    return (one.pem + rest + one.key).encode()


def faults() -> Dict[str, Any]:
    """What a source may give that must not be taken, with the words for it."""
    expired = issue("old", MIDDLE, ["mail.example.org"], begins=-90.0, ends=-1.0)
    early = issue("early", MIDDLE, ["mail.example.org"], begins=1.0)
    other = issue("other", MIDDLE, ["imap.example.org"])
    return {
        "another key": (
            (NEWER.pem + MIDDLE.pem + ROOT.pem + LEAF.key).encode(), "the key is not that of the certificate"),
        "incomplete": (pem(NEWER, ROOT.pem), "incomplete chain: newer"),
        "wrong order": (pem(NEWER, ROOT.pem + MIDDLE.pem), "wrong order: newer"),
        "expired": (pem(expired), "expired on 2026-02-28T12:00:00Z"),
        "not yet valid": (pem(early), "is not valid before 2026-03-02T12:00:00Z"),
        "name": (pem(other), "does not cover mail.example.org"),
        "encrypted key": (
            (CHAIN + key_pem(LEAF.private, b"secret words")).encode(), "the private key is encrypted"),
        "no key": (CHAIN.encode(), "there is no private key in it"),
        "no certificate": (b"<html>Sign in</html>", "certificate 1 cannot be read"),
        "gone": (GONE, "404 Not Found"),
        "untrusted": (UntrustedError("not in tls.ca", "", False), "not in tls.ca"),
    }


FAULTS = faults()


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_on_a_fresh_node_stops_it(fault: str, tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.tls.give(FAULTS[fault][0])
    with pytest.raises(StepError) as caught:
        layer.obtain()
    assert FAULTS[fault][1] in caught.value.message
    assert layer.waits == [], "what is final is not waited for"
    assert "PRIVATE" not in "".join(traceback.format_exception(*_parts(caught.value)))


def _parts(error: BaseException) -> Any:
    return type(error), error, error.__traceback__


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_never_replaces_a_good_one(fault: str, tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    layer.tls.give(FAULTS[fault][0])
    layer.apply()
    assert layer.host.read(CERTIFICATE) == CHAIN.encode()
    assert layer.host.read(KEPT) == (LEAF.key + CHAIN).encode()
    (warning,) = [one["message"] for one in read_events(layer.host)
                  if one["event"] == "warning" and one["message"].startswith("certificate")]
    assert warning.startswith("certificate: NOT RENEWED, serving with the kept one, valid until 2026-05-30T12:00:00Z: ")
    assert FAULTS[fault][1] in warning
    assert any("warning: certificate: NOT RENEWED" in line for line in layer.host.said)
    assert layer.status()["kept"] is True
    assert layer.status()["warning"] == warning


def test_a_source_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.tls.give(AWAY, AWAY, AWAY, pem(NEWER))
    assert layer.obtain().refused is None
    assert layer.clock.naps == [0.5, 1.0, 2.0]
    assert layer.waits[0] == "get {}: Connection refused; again in 0.5 s, deadline in 60 s".format(URL)


def test_a_source_that_stays_away(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.tls.give(AWAY)
    with pytest.raises(GaveUpError, match=r"Connection refused \(tried [0-9]+ times in 60 s"):
        layer.obtain()


def test_a_source_that_is_away_at_a_reboot_is_not_waited_for_long(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    layer.tls.give(AWAY)
    found = layer.obtain()
    assert "Connection refused" in str(found.refused)
    assert sum(layer.clock.naps) == certificates.SHORT_PATIENCE


@pytest.mark.parametrize(("change", "words"), [
    ({"names": ["imap.example.org"]}, "a kept one without the name"),
    ({"warn_days": 0}, "a kept one that has expired"),
])
def test_a_kept_one_that_is_not_good_is_not_served(change: Dict[str, Any], words: str, tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    layer.document["tls"].update(change)
    if "expired" in words:
        short = issue("short", MIDDLE, ["mail.example.org"], ends=-0.1)
        layer.host.write(KEPT, (short.key + short.pem + MIDDLE.pem + ROOT.pem).encode())
    layer.tls.give(GONE)
    with pytest.raises(StepError, match="404"):
        layer.obtain()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe", CHAIN.encode(), LEAF.key.encode()])
def test_a_kept_file_that_is_broken_is_none(content: bytes, tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.host.write(KEPT, content, mode=0o600)
    layer.tls.give(GONE)
    with pytest.raises(StepError, match="404"):
        layer.obtain()
    layer.tls.give(pem(NEWER))
    assert layer.obtain().refused is None


def test_a_clock_that_is_not_set_yet_is_waited_for(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.host.synchronised = False
    early = UntrustedError("the server's own certificate is not yet valid", "", True)
    layer.tls.give(early, FAULTS["expired"][0], pem(NEWER))
    assert layer.obtain().refused is None
    assert [words.partition("; again")[0] for words in layer.waits] == [
        "the server's own certificate is not yet valid; this node's clock is not synchronised yet",
        "certificate from {}: it, or one of its chain, expired on 2026-02-28T12:00:00Z; it is 2026-03-01T12:00:00Z; "
        "this node's clock is not synchronised yet".format(URL)]


def test_inline(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path, INLINE)
    layer.apply()
    assert (layer.host.read(CERTIFICATE), layer.host.read(KEY)) == (CHAIN.encode(), LEAF.key.encode())
    assert layer.tls.asked == []
    assert layer.status()["source"] == "the site document"


def test_inline_is_checked_as_well(tmp_path: Path) -> None:
    with pytest.raises(FirstbootError, match="the site document: the key is not that of the certificate leaf"):
        LayerHost(tmp_path, with_keys(INLINE, tls__key="literal:" + NEWER.key)).apply()


def test_what_the_source_is_told(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path, with_keys(BY_URL, tls__ca=ROOT.pem))
    layer.tls.give((LEAF.key + LEAF.pem + MIDDLE.pem).encode())
    layer.obtain()
    assert layer.tls.asked == [(URL, ROOT.pem, "")]


def test_an_authority_of_the_systems_trust_store(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    role_file = layer.host.path("/etc/mailimg/role.json")
    trust = '"facts": {"trust": {"bundle": "/etc/ssl/ca.crt"}, '
    role_file.write_text(role_file.read_text().replace('"facts": {', trust))
    layer.tls.give((LEAF.key + LEAF.pem + MIDDLE.pem).encode())
    with pytest.raises(StepError, match=r"trust store /etc/ssl/ca\.crt: it is not there"):
        layer.obtain()
    layer.host.write("/etc/ssl/ca.crt", "# Büro\n".encode("latin-1") + ROOT.pem.encode())
    assert layer.obtain().refused is None


def test_an_archive(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path, with_keys(BY_URL, tls__password="literal:open sesame"))
    # As openssl prints it: the authorities may come first.
    layer.tls.unpack = lambda archive, password: (  # type: ignore[assignment,method-assign]
        layer.tls.archives.append(password) or (ROOT.pem + LEAF.pem + MIDDLE.pem + LEAF.key).encode())
    layer.tls.give(b"\x30\x82archive")
    assert layer.obtain().bundle.certificate == CHAIN
    assert layer.tls.archives == [Secret("open sesame")]


def test_an_encrypted_key_with_its_password(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path, with_keys(BY_URL, tls__password="literal:secret words"))
    layer.tls.give(FAULTS["encrypted key"][0])
    assert layer.obtain().bundle.key == Secret(LEAF.key)


class Containers:
    """Barbican with one container."""

    def __init__(self, held: Stored) -> None:
        self.held = held
        self.asked = ""

    def certificate(self, reference: str) -> Stored:
        self.asked = reference
        return self.held


@pytest.mark.parametrize("held", [
    Stored(LEAF.pem.encode(), LEAF.key.encode(), (MIDDLE.pem + ROOT.pem).encode(), None),
    Stored(CHAIN.encode().strip(), LEAF.key.encode().strip(), None, None),
    Stored(CHAIN.encode(), key_pem(LEAF.private, b"x y").encode(), None, b"x y"),
])
def test_a_container(held: Stored, tmp_path: Path) -> None:
    layer = LayerHost(tmp_path, BY_CONTAINER)
    barbican = Containers(held)
    layer.host.cloud.secrets = lambda _site, _role: barbican  # type: ignore[assignment,method-assign,return-value]
    found = layer.obtain()
    assert (found.bundle.certificate, found.bundle.key) == (CHAIN, Secret(LEAF.key))
    assert (found.source, barbican.asked) == ("Barbican container " + UUID, UUID)


def test_a_role_without_use_for_it_fetches_nothing(tmp_path: Path) -> None:
    host = machine(tmp_path)
    site_document = work(host, BY_URL).site
    assert certificates.obtain(host, LayerHost(tmp_path / "x").clock, site_document, role(), 1.0, pytest.fail) is None


def test_warned_of_ahead(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path, with_keys(BY_URL, tls__warn_days=91))
    layer.apply()
    words = "certificate: mail.example.org, *.cloud.example.org expires on 2026-05-30T12:00:00Z, in 90.0 days"
    assert [one["message"] for one in read_events(layer.host) if one["event"] == "warning"][-1] == words
    assert layer.status() == {
        "names": ["mail.example.org", "*.cloud.example.org"], "not_after": "2026-05-30T12:00:00Z", "source": URL,
        "checked": "2026-03-01T12:00:00Z", "kept": False, "warn_days": 91, "warning": words}


@pytest.mark.parametrize(("days", "words"), [
    (59, None), (61, "certificate: expires on 2026-05-30T12:00:00Z, in 29.0 days")])
def test_status_knows_what_time_has_made_of_it(days: int, words: str, tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    later = expiry.look(layer.status(), layer.clock.epoch() + days * 86400.0)
    assert later is not None
    assert later["warning"] == words


def test_the_kept_one_is_closed_to_others_and_leaves_no_trace(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    state = layer.host.state(KEPT)
    assert state is not None
    assert state.mode == 0o600
    goal = work(machine(tmp_path / "other"))._replace(certificate=made())
    layer.host.path(KEPT).chmod(0o644)
    assert step.check(layer.host, goal) == KEPT + ": owner or mode differ"
    step.undo(layer.host, goal)
    assert layer.host.state(KEPT) is None


def test_a_node_whose_site_names_none_any_more_forgets_it(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    goal = work(machine(tmp_path / "other"))
    assert "no use for it" in str(step.check(layer.host, goal))
    step.apply(layer.host, goal)
    assert step.check(layer.host, goal) is None


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    layer.apply()
    orders, changes = list(layer.host.systemd.orders), len(layer.host.fuse.changes)
    layer.apply()
    assert layer.host.systemd.orders == orders
    assert {one.split()[1].split("/")[1] for one in layer.host.fuse.changes[changes:]} == {"run"}


@pytest.mark.parametrize("masked", [True, False])
def test_off_line_words_take_its_place(masked: bool, tmp_path: Path) -> None:
    layer = LayerHost(tmp_path)
    mine = preparing.read_role(layer.host, preparing.Options())
    templates = str(layer.host.path("/usr/share/mailimg/templates"))
    files = {one.path: one.content for one in offline.render(mine, BY_URL, "mx-1", UUID, templates, masked)}
    words = "# Fetched on the instance from {}.\n".format(URL).encode()
    assert (files[CERTIFICATE], files[KEY]) == (words, words)
