"""`renew`: a new certificate reaches the daemons that use it, and nothing else happens."""

from pathlib import Path
from typing import List

import pytest
from firstboot_certificates import CHAIN, LEAF, MIDDLE, ROOT, issue
from firstboot_fuse import Killed
from firstboot_layer import CERTIFICATE, KEY, LayerHost
from firstboot_machine import SITE, seed, with_keys

from mailimg_firstboot import engine, preparing, renewal
from mailimg_firstboot.certificates import KEPT
from mailimg_firstboot.errors import FirstbootError, StepError, TransientError
from mailimg_firstboot.report import read_status

NEWER = issue("newer", MIDDLE, ["mail.example.org"], ends=180.0)
CONTENT = (NEWER.pem + MIDDLE.pem + ROOT.pem + NEWER.key).encode()


@pytest.fixture
def layer(tmp_path: Path) -> LayerHost:
    """A node that serves."""
    made = LayerHost(tmp_path)
    made.apply()
    made.host.systemd.orders.clear()
    made.host.fuse.changes.clear()
    return made


def renew(layer: LayerHost) -> List[str]:
    said: List[str] = []
    renewal.renew(layer.host, layer.clock, preparing.Options(patience=60.0), said.append)
    return said


def test_nothing_new(layer: LayerHost) -> None:
    assert renew(layer)[-1].endswith("from https://pki.example.org/layer.pem: unchanged")
    assert layer.host.systemd.orders == []
    assert layer.host.fuse.changes == ["write /run/mailimg/status.json"]


def test_a_new_one(layer: LayerHost) -> None:
    layer.tls.give(CONTENT)
    said = renew(layer)
    assert layer.host.systemd.orders == ["reload-or-restart postfix@-.service"], "clamd does not use it"
    assert layer.host.read(CERTIFICATE) == (NEWER.pem + MIDDLE.pem + ROOT.pem).encode()
    assert layer.host.read(KEY) == NEWER.key.encode()
    state = layer.host.state(KEY)
    assert state is not None
    assert state.mode == 0o640
    assert said == [
        "certificate of mail.example.org until 2026-08-28T12:00:00Z, from https://pki.example.org/layer.pem: "
        "installed as {}, {}, reloaded postfix".format(CERTIFICATE, KEY)]
    assert (layer.status()["not_after"], layer.status()["kept"]) == ("2026-08-28T12:00:00Z", False)
    status = read_status(layer.host)
    assert status is not None
    assert (status["state"], len(status["steps"])) == ("ready", len(engine.STEPS)), "the run's own report stays"
    layer.host.systemd.orders.clear()
    assert renew(layer)[-1].endswith("unchanged")
    assert layer.host.systemd.orders == []


@pytest.mark.parametrize("error", [StepError("404 Not Found"), TransientError("Connection refused")])
def test_a_source_without_one(error: FirstbootError, layer: LayerHost) -> None:
    layer.tls.give(error)
    with pytest.raises(FirstbootError, match=r"kept: certificate of mail\.example\.org, .* until 2026-05-30") as caught:
        renew(layer)
    assert error.message in caught.value.message
    assert layer.host.systemd.orders == []
    assert layer.host.read(CERTIFICATE) == CHAIN.encode()
    assert error.message in layer.status()["warning"]
    assert "mailimg: warning: certificate not renewed" in layer.host.said
    waited = sum(layer.clock.naps)
    assert waited == (60.0 if isinstance(error, TransientError) else 0.0), "nothing is in a hurry"


def test_a_broken_new_one(layer: LayerHost) -> None:
    layer.tls.give(CONTENT.replace(NEWER.key.encode(), LEAF.key.encode()))
    with pytest.raises(FirstbootError, match="the key is not that of the certificate newer; kept: "):
        renew(layer)
    assert layer.host.systemd.orders == []
    assert layer.host.read(KEPT) == (LEAF.key + CHAIN).encode()


def test_neither_a_new_nor_a_kept_one(layer: LayerHost) -> None:
    layer.host.remove(KEPT)
    layer.tls.give(StepError("404 Not Found"))
    with pytest.raises(StepError, match="404"):
        renew(layer)
    assert layer.host.read(CERTIFICATE) == CHAIN.encode(), "the daemons go on with what they have"
    assert layer.status()["warning"] == "certificate: not renewed: 404 Not Found"


def test_other_changes_of_the_site_are_not_made(layer: LayerHost) -> None:
    seed(layer.host, with_keys(layer.document, domains=["other.example.org"]))
    layer.tls.give(CONTENT)
    renew(layer)
    assert b"other.example.org" not in (layer.host.read("/etc/postfix/main.cf") or b"")


def test_a_service_that_does_not_run_is_not_started(layer: LayerHost) -> None:
    layer.host.systemd.stop("postfix@-.service")
    layer.host.systemd.orders.clear()
    layer.tls.give(CONTENT)
    renew(layer)
    assert layer.host.systemd.orders == []


def test_before_any_run_since_boot_there_is_nothing_to_report_into(layer: LayerHost) -> None:
    layer.host.remove("/run/mailimg/status.json")
    renew(layer)
    assert read_status(layer.host) is None


def test_a_site_without_a_certificate(tmp_path: Path) -> None:
    made = LayerHost(tmp_path)
    role_file = made.host.path("/etc/mailimg/role.json")
    role_file.write_text(role_file.read_text().replace(', "tls"]', "]"))
    seed(made.host, SITE)
    for template in ("certificate", "key"):
        made.host.path("/usr/share/mailimg/templates/{}.pem.j2".format(template)).write_text("none\n")
    assert renew(made) == ["no certificate: the site document names none, or the role has no use for one"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", range(5))
def test_killed_anywhere_and_run_again(change: int, when: str, layer: LayerHost) -> None:
    layer.tls.give(CONTENT)
    layer.host.fuse.blows = (change, when)
    with pytest.raises(Killed):
        renew(layer)
    layer.host.fuse.blows, layer.host.fuse.dead = None, False
    renew(layer)
    assert layer.host.systemd.running["postfix@-.service"].keys() > set()
    assert layer.host.read(KEY) == NEWER.key.encode()
    assert "reload-or-restart postfix@-.service" in layer.host.systemd.orders
    orders = list(layer.host.systemd.orders)
    renew(layer)
    assert layer.host.systemd.orders == orders
