"""Certificates made for tests, with whatever release of cryptography is there: 2.3 of CentOS 7 or the newest."""

from datetime import datetime, timedelta
from typing import Any, List, NamedTuple, Optional

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailimg_firstboot.certificates import Certificate
from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls import checks
from mailimg_firstboot.tls.bundle import Bundle, backend

# That of `FakeClock`.
NOW = 1772366400.0
START = datetime(2026, 3, 1, 12)


class Issued(NamedTuple):
    """A certificate with its key, and the object that may sign others."""

    pem: str
    key: str
    private: Any
    name: Any


def issue(
    title: str, signer: Optional[Issued] = None, names: Optional[List[str]] = None, begins: float = -10.0,
    ends: float = 90.0, private: Any = None, authority: bool = False, digest: Any = None,
) -> Issued:
    """Make a certificate.

    Args:
        signer: None: it signs itself.
        names: its DNS names.
        begins: days from `START`.
        ends: days from `START`.
        private: its key; None: a new one, ECDSA P-256.
        authority: it may sign others.
    """
    private = private or ec.generate_private_key(ec.SECP256R1(), backend())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(signer.name if signer else name)
               .public_key(private.public_key()).serial_number(1000 + len(title))
               .not_valid_before(START + timedelta(days=begins)).not_valid_after(START + timedelta(days=ends))
               .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    signed = builder.sign(signer.private if signer else private, digest or hashes.SHA256(), backend())
    pem = signed.public_bytes(serialization.Encoding.PEM).decode()
    return Issued(pem, key_pem(private), private, name)


def key_pem(private: Any, passphrase: Optional[bytes] = None) -> str:
    """A key in PEM, encrypted if there is a passphrase."""
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return str(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden).decode())


ROOT = issue("Root", authority=True, ends=900.0)
MIDDLE = issue("Middle", ROOT, authority=True, ends=900.0)
LEAF = issue("leaf", MIDDLE, ["mail.example.org", "*.cloud.example.org"])
CHAIN = LEAF.pem + MIDDLE.pem + ROOT.pem


def bundle(chain: str = CHAIN, key: str = LEAF.key) -> Bundle:
    """What a source gave."""
    return Bundle(chain, Secret(key))


def made() -> Certificate:
    """What a run goes on with."""
    good = bundle()
    return Certificate(good, checks.look(good, [], str), "the site document", None)
