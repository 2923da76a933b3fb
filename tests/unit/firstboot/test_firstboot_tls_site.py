"""The key `tls` of the site document: three forms, and what does not go together."""

from typing import Any, Dict

import pytest
from firstboot_certificates import CHAIN, LEAF
from firstboot_machine import ROLE, SITE, role, with_keys

from mailimg_firstboot import secret, site
from mailimg_firstboot.errors import DocumentError
from mailimg_firstboot.secret import MASK, Secret
from mailimg_firstboot.tls import forms

UUID = "5f0c5a0e-3f4e-4d0e-9a53-7a3f2a1b0c9e"
INLINE = {"certificate": CHAIN, "key": "file:/etc/key.pem"}
BY_URL = {"url": "https://pki.example.org:8443/a/layer.p12"}
BY_CONTAINER = {"container": "barbican:" + UUID}
CLOUD = {"auth_url": "https://keystone.example.org/v3", "application_credential_id": "0123456789abcdef",
         "application_credential_secret": "file:/etc/secret"}
ONE_OF = "site: tls: must hold exactly one of: certificate and key; container; url, with a password if it needs one"


def load(tls: Dict[str, Any], **more: Any) -> Dict[str, Any]:
    return dict(site.load(with_keys(SITE, tls=tls, **more), role()))


@pytest.mark.parametrize("tls", [
    INLINE, BY_URL, dict(BY_URL, password="file:/etc/password", ca=CHAIN),
    BY_CONTAINER, {"container": "barbican:https://barbican.example.org:9311/v1/containers/" + UUID},
])
def test_forms(tls: Dict[str, Any]) -> None:
    found = load(tls, cloud=CLOUD)["tls"]
    assert (found["names"], found["warn_days"], found["ca"]) == ([], 30, tls.get("ca", "system"))


@pytest.mark.parametrize(("tls", "words"), [
    ({}, ONE_OF),
    ({"certificate": CHAIN}, ONE_OF),
    ({"names": ["mail.example.org"]}, ONE_OF),
    (dict(INLINE, **BY_URL), ONE_OF),
    (dict(INLINE, **BY_CONTAINER), ONE_OF),
    (dict(BY_URL, key="file:/etc/key.pem"), ONE_OF),
    (dict(BY_URL, **BY_CONTAINER), ONE_OF),
    (dict(BY_CONTAINER, password="file:/etc/password"), ONE_OF),
    (dict(BY_URL, name="mail.example.org"), "site: tls.name: unknown key; do you mean `names`?"),
    (dict(BY_URL, names=["*.example.org"]), "site: tls.names[0]: \"*.example.org\" is not a DNS name such as "
     "cloud.example.org"),
    (dict(BY_URL, warn_days=-1), "site: tls.warn_days: -1 is less than 0"),
    ({"url": "http://pki.example.org/layer.pem"}, "site: tls.url: \"http://pki.example.org/layer.pem\" is not an "
     "https:// URL without user, query or fragment"),
    ({"container": UUID}, "site: tls.container: \"{}\" is not a certificate container in Barbican: "
     "barbican:UUID".format(UUID)),
])
def test_what_is_wrong(tls: Dict[str, Any], words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load(tls, cloud=CLOUD)
    assert list(caught.value.problems) == [words]


def test_a_container_needs_the_cloud() -> None:
    with pytest.raises(DocumentError, match=r"^site: tls\.container: a container in Barbican needs the key `cloud`$"):
        load(BY_CONTAINER)


def test_the_password_is_a_secret() -> None:
    resolved = secret.resolve(load(dict(BY_URL, password="file:/p")), lambda _: b"open sesame\n")
    assert resolved.site["tls"]["password"] == Secret("open sesame")


@pytest.mark.parametrize(("tls", "words"), [
    (BY_URL, "https://pki.example.org:8443/a/layer.p12"),
    (BY_CONTAINER, "Barbican container " + UUID),
    ({"container": "barbican:https://barbican.example.org/v1/containers/" + UUID}, "Barbican container " + UUID),
    (INLINE, "the site document"),
])
def test_sources_have_names(tls: Dict[str, Any], words: str) -> None:
    assert forms.source(tls) == words


def test_what_is_not_fetched_is_shown_in_words() -> None:
    full = forms.unfetched(secret.mask(load(BY_URL)))
    assert full["tls"]["certificate"] == "# Fetched on the instance from https://pki.example.org:8443/a/layer.p12."
    inline = secret.mask(load(dict(INLINE, key="literal:" + LEAF.key)))
    assert forms.unfetched(inline) is inline
    assert inline["tls"]["key"].reveal() == MASK
    assert forms.unfetched({"domains": []}) == {"domains": []}


@pytest.mark.parametrize(("paths", "fetches"), [
    ({}, False),
    ({"uses": ["tls"]}, True),
    ({"site": ["tls"]}, True),
    ({"services": [*ROLE["services"], {"name": "nginx", "unit": "nginx.service", "with": "tls"}]}, True),
])
def test_only_a_role_with_a_use_for_it_fetches_it(paths: Dict[str, Any], fetches: bool) -> None:
    """One document serves a whole platform: a layer without a use for the certificate must not fail over it."""
    found = load(BY_URL)
    assert forms.wanted(found, role(**paths)) == (found["tls"] if fetches else None)
    assert forms.wanted({"domains": []}, role(**paths)) is None
