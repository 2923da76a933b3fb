"""What must hold of a certificate before a daemon gets it: one test for each fault, with its words."""

from typing import List

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from firstboot_certificates import CHAIN, LEAF, MIDDLE, NOW, ROOT, Issued, bundle, issue, key_pem

from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls import bundle as bundles
from mailimg_firstboot.tls import checks, ordering
from mailimg_firstboot.tls.bundle import Bundle, backend

WANTED = ["mail.example.org"]


def problems(one: Bundle, wanted: List[str] = WANTED, trusted: str = "") -> List[str]:
    return checks.look(one, wanted, lambda: trusted).problems


def test_a_good_one() -> None:
    seen = checks.look(bundle(), ["mail.example.org", "a.cloud.example.org"], lambda: pytest.fail("not needed"))
    assert seen.problems == []
    assert seen.names == ["mail.example.org", "*.cloud.example.org"]
    assert (seen.begins, seen.ends) == (NOW - 10 * checks.DAY, NOW + 90 * checks.DAY)
    assert checks.untimely(seen, NOW) is None


@pytest.mark.parametrize("trusted", [ROOT.pem, MIDDLE.pem, "# a comment\n" + issue("other").pem + ROOT.pem])
def test_a_chain_that_ends_at_a_trusted_authority(trusted: str) -> None:
    assert problems(bundle(LEAF.pem + MIDDLE.pem), WANTED, trusted) == []


def test_one_that_signed_itself() -> None:
    alone = issue("alone", None, WANTED)
    assert problems(bundle(alone.pem, alone.key)) == []


OTHER = issue("other", MIDDLE, WANTED)
FALSE = issue("Middle", None, authority=True)
NO_AUTHORITY = issue("clerk", ROOT)
UNDER_CLERK = issue("under", NO_AUTHORITY, WANTED)


@pytest.mark.parametrize(("chain", "key", "words"), [
    (CHAIN, OTHER.key, "the key is not that of the certificate leaf"),
    (MIDDLE.pem + LEAF.pem + ROOT.pem, LEAF.key,
     "wrong order: the certificate of the key, leaf, must come first; it is number 2"),
    (LEAF.pem + ROOT.pem + MIDDLE.pem, LEAF.key,
     "wrong order: leaf (number 1) is signed by Middle, which must come next; it is number 3"),
    (LEAF.pem, LEAF.key, "incomplete chain: leaf is signed by Middle, which is neither there nor trusted (tls.ca)"),
    (LEAF.pem + MIDDLE.pem, LEAF.key,
     "incomplete chain: Middle is signed by Root, which is neither there nor trusted (tls.ca)"),
    (LEAF.pem + ROOT.pem, LEAF.key,
     "incomplete chain: leaf (number 1) is not signed by the next, Root; its issuer is Middle"),
    (LEAF.pem + FALSE.pem, LEAF.key,
     "incomplete chain: leaf (number 1) is not signed by the next, Middle; its issuer is Middle"),
    (UNDER_CLERK.pem + NO_AUTHORITY.pem + ROOT.pem, UNDER_CLERK.key,
     "clerk signs in its chain but is no certificate authority"),
    (CHAIN, key_pem(LEAF.private, b"pass phrase"), "its key is encrypted"),
    (CHAIN, LEAF.key[:60] + "\n-----END PRIVATE KEY-----\n", "its key cannot be read"),
    ("-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n", LEAF.key, "certificate 1 cannot be read"),
    ("", LEAF.key, "there is no certificate in it"),
])
def test_what_does_not_fit_together(chain: str, key: str, words: str) -> None:
    assert words in problems(bundle(chain, key))


def test_an_authority_of_the_same_name_is_not_the_same() -> None:
    (words,) = problems(bundle(LEAF.pem), WANTED, FALSE.pem)
    assert words.startswith("incomplete chain: leaf is signed by Middle")


def weak(private: object) -> Issued:
    return issue("weak", None, WANTED, private=private)


@pytest.mark.parametrize(("private", "words"), [
    (lambda: rsa.generate_private_key(65537, 1024, backend()),  # noqa: S505 - that is the fault
     ["its key is weak: RSA with 1024 bits, fewer than 2048"]),
    (lambda: rsa.generate_private_key(65537, 2048, backend()), []),
    (lambda: ec.generate_private_key(ec.SECP224R1(), backend()), ["its key is weak: 224 bits, fewer than 256"]),
    (lambda: ec.generate_private_key(ec.SECP384R1(), backend()), []),
    (lambda: dsa.generate_private_key(1024, backend()),  # noqa: S505 - no key of this kind is good
     ["its key is weak: neither RSA nor of an elliptic curve"]),
], ids=["rsa1024", "rsa2048", "p224", "p384", "dsa"])
def test_weak_keys(private: object, words: List[str]) -> None:
    one = weak(private())  # type: ignore[operator]
    # One that signed itself with DSA is not believed, either.
    assert problems(bundle(one.pem, one.key))[:1] == words


def test_an_rsa_authority() -> None:
    root = issue("RSA", private=rsa.generate_private_key(65537, 2048, backend()), authority=True)
    leaf = issue("leaf", root, WANTED)
    assert problems(bundle(leaf.pem, leaf.key), WANTED, root.pem) == []


@pytest.mark.parametrize(("pattern", "name", "covered"), [
    ("mail.example.org", "MAIL.example.org", True),
    ("mail.example.org", "mail.example.org.", True),
    ("mail.example.org", "xmail.example.org", False),
    ("*.example.org", "mail.example.org", True),
    ("*.example.org", "example.org", False),
    ("*.example.org", "a.mail.example.org", False),
    ("*.example.org", ".example.org", False),
    ("m*.example.org", "mail.example.org", False),
    ("mail.*.org", "mail.example.org", False),
    ("*", "mail", False),
    ("*.org", "example.org", False),
])
def test_wildcards(pattern: str, name: str, covered: bool) -> None:
    assert checks.covers(pattern, name) is covered


def test_names_that_are_not_covered() -> None:
    found = problems(bundle(), ["mail.example.org", "a.b.cloud.example.org", "imap.example.org"])
    assert found == ["it does not cover {}; its names are mail.example.org, *.cloud.example.org".format(name)
                     for name in ("a.b.cloud.example.org", "imap.example.org")]


def test_a_common_name_is_no_name() -> None:
    one = issue("mail.example.org")
    assert problems(bundle(one.pem, one.key)) == ["it does not cover mail.example.org; its names are none"]


def test_several_faults_are_told_at_once() -> None:
    assert len(problems(bundle(LEAF.pem, OTHER.key), ["imap.example.org"])) == 3


@pytest.mark.parametrize(("begins", "ends", "words"), [
    (1.0, 90.0, "is not valid before 2026-03-02T12:00:00Z; it is 2026-03-01T12:00:00Z"),
    (-90.0, -1.0, "expired on 2026-02-28T12:00:00Z; it is 2026-03-01T12:00:00Z"),
])
@pytest.mark.parametrize("which", ["leaf", "authority"])
def test_dates(begins: float, ends: float, words: str, which: str) -> None:
    """Of the whole chain: clients refuse an expired link as they refuse an expired leaf."""
    root = issue("Root", authority=True, **({"begins": begins, "ends": ends} if which == "authority" else {}))
    leaf = issue("leaf", root, WANTED, **({"begins": begins, "ends": ends} if which == "leaf" else {}))
    said = checks.untimely(checks.look(bundle(leaf.pem + root.pem, leaf.key), WANTED, str), NOW)
    assert str(said).endswith(words)


@pytest.mark.parametrize(("days", "words"), [(90, "expires on 2026-05-30T12:00:00Z, in 90.0 days"), (89, None)])
def test_a_warning_ahead(days: int, words: str) -> None:
    assert checks.ending(checks.look(bundle(), [], str).ends, NOW, days) == words


def test_a_key_opens_with_its_passphrase_only() -> None:
    hidden = key_pem(LEAF.private, b"pass phrase").encode()
    assert bundles.key(hidden, b"pass phrase") == Secret(LEAF.key)
    for passphrase, words in ((None, "the private key is encrypted"),
                              (b"other", "the private key does not open with its passphrase")):
        with pytest.raises(ValueError, match=words):
            bundles.key(hidden, passphrase)


def test_a_key_that_is_not_encrypted_needs_no_passphrase() -> None:
    assert bundles.key(LEAF.key.encode(), b"unused") == Secret(LEAF.key)


@pytest.mark.parametrize(("content", "words"), [
    (b"", "there is no private key in it"),
    (CHAIN.encode(), "there is no private key in it"),
    ((LEAF.key + OTHER.key).encode(), "there are 2 private keys in it"),
    (b"\x30\x82nothing", "the private key cannot be read"),
])
def test_what_is_no_key(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bundles.key(content)


def test_a_chain_of_several_texts_in_one_form() -> None:
    noise = "Bag Attributes\n  friendlyName: x\n" + LEAF.pem
    assert bundles.chain(noise.encode(), (MIDDLE.pem + ROOT.pem).encode()) == CHAIN
    assert bundles.chain((LEAF.key + LEAF.pem).replace("\n", "\r\n").encode()) == LEAF.pem


def test_what_is_no_chain() -> None:
    pkcs7 = b"-----BEGIN PKCS7-----\nTUlJ\n-----END PKCS7-----\n"
    for content, words in ((pkcs7, "there is a PKCS7 in it"), (b" ", "no certificate"), (b"<html>", "cannot be read")):
        with pytest.raises(ValueError, match=words):
            bundles.chain(content)


def test_an_archive_is_put_in_order() -> None:
    mixed = ROOT.pem + OTHER.pem + LEAF.pem + MIDDLE.pem
    assert ordering.sorted_chain(mixed, Secret(LEAF.key)) == CHAIN
    assert ordering.sorted_chain(ROOT.pem, Secret(LEAF.key)) == ROOT.pem
