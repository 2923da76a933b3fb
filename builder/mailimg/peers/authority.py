"""Keys of a verification: a certificate authority, certificates of peers, an SSH key; all thrown away at the end."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A guest's clock may be hours off until it has a time server; a verification has none.
VALID = datetime.timedelta(days=2)


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, as PEM files.

    Attributes:
        chain: the certificate and those that it chains to, up to the root, PEM.
    """

    certificate: Path
    key: Path
    chain: str


class Authority:
    """A certificate authority with files in `folder`; with a parent, one that the parent has signed.

    Attributes:
        pem: its own certificate.
        chain: `pem` and its parents', up to the root.
    """

    def __init__(self, folder: Path, parent: Authority | None = None, name: str = "mailimg verification",
                 ends: datetime.timedelta = VALID) -> None:
        self.folder = folder
        # ECDSA P-256: OpenSSL 1.0.2 of CentOS 7 knows no Ed25519.
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer: Authority = parent or self
        builder = _builder(self.name, signer.name, self.key.public_key(), ends=ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0 if parent else 1), critical=True)
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=False, content_commitment=False, key_encipherment=False,
                          data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                          encipher_only=False, decipher_only=False), critical=True)
        self.pem = builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        self.chain: str = self.pem + (parent.chain if parent else "")
        self.file = folder / ("intermediate.pem" if parent else "ca.pem")
        self.file.write_text(self.pem)

    def issue(
        self, name: str, *addresses: str, begins: datetime.timedelta = -VALID, ends: datetime.timedelta = VALID,
        rsa_bits: int = 0, names: Sequence[str] = (),
    ) -> Certificate:
        """A server certificate for a DNS name and IP addresses; the same name again overwrites its files.

        Args:
            begins: from now.
            ends: from now.
            rsa_bits: 0: ECDSA P-256.
            names: further DNS names.
        """
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = ec.generate_private_key(ec.SECP256R1())
        if rsa_bits:
            key = rsa.generate_private_key(65537, rsa_bits)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternatives: list[x509.GeneralName] = [x509.DNSName(one) for one in (name, *names)]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = _builder(subject, self.name, key.public_key(), begins, ends)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        pem = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key", pem.decode() + self.chain)
        made.certificate.write_bytes(pem)
        _write_key(made.key, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        return made


def ssh_key(folder: Path) -> tuple[Path, str]:
    """A new SSH key: the file of the private half, and the line that authorizes it."""
    key = ed25519.Ed25519PrivateKey.generate()
    path = folder / "ssh-key"
    _write_key(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
                                       serialization.NoEncryption()))
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return path, f"{public.decode()} mailimg-verify"


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    begins: datetime.timedelta = -VALID, ends: datetime.timedelta = VALID,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
            .serial_number(x509.random_serial_number()).not_valid_before(now + begins).not_valid_after(now + ends))


def _write_key(path: Path, pem: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(pem)
