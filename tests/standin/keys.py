"""Throw-away keys of the stand-in: three that sign packages, and an authority for TLS. They exist in the cache only."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailimg import process

NAMES = ("centos", "epel", "sogo")
YEARS = datetime.timedelta(days=3650)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Key:
    """A key that signs packages.

    Attributes:
        fingerprint: 40 hex digits, upper case.
        public: file with the public key, armoured.
    """

    fingerprint: str
    public: Path


def make_keys(folder: Path) -> dict[str, Key]:
    """Make the signing keys below `folder`: `gpg/` is GnuPG's home, `<name>.asc` a public key."""
    (folder / "gpg").mkdir(mode=0o700)
    made = {}
    with keyring(folder) as home:
        for name in NAMES:
            gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
            who = f"mailimg stand-in {name} <{name}@stand-in.invalid>"
            process.run([*gpg, "--quick-generate-key", who, "rsa2048", "sign", "never"], what="make a key", timeout=120)
            told = process.run([*gpg, "--with-colons", "--list-keys", who], what="ask for a key", timeout=60).stdout
            fingerprint = next(line.split(":")[9] for line in told.splitlines() if line.startswith("fpr:"))
            public = process.run([*gpg, "--armor", "--export", fingerprint], what="export a key", timeout=60).stdout
            (folder / f"{name}.asc").write_text(public, encoding="ascii")
            made[name] = Key(fingerprint, folder / f"{name}.asc")
    return made


@contextmanager
def keyring(folder: Path) -> Iterator[Path]:
    """GnuPG's home below `folder`; its agent ends with the block."""
    home = folder / "gpg"
    try:
        yield home
    finally:
        process.run(["gpgconf", "--homedir", home, "--kill", "all"], what="end GnuPG's agent", timeout=60)


def sign(folder: Path, key: Key, packages: list[Path]) -> None:
    """Sign packages in place. The caller holds `keyring`."""
    process.run(
        # Debian's rpm looks for gpg2.
        ["rpmsign", "--define", f"_gpg_path {folder / 'gpg'}", "--define", f"_gpg_name {key.fingerprint}",
         "--define", "__gpg /usr/bin/gpg", "--define", "_gpg_digest_algo sha256", "--addsign", *packages],
        what="sign packages", timeout=300,
    )


def make_authority(folder: Path, name: str = "ca") -> Path:
    """Make an authority: `<name>.pem` and `<name>.key` in `folder`; returns the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailimg stand-in authority")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_key(folder / f"{name}.key", key)
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(PEM))
    return folder / f"{name}.pem"


def issue(authority: Path, folder: Path) -> Path:
    """A server's certificate for 127.0.0.1 and localhost, with its key in one file in `folder`."""
    signer = serialization.load_pem_private_key(authority.with_suffix(".key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .issuer_name(issuer.subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    path = folder / "server.pem"
    write_key(path, key)
    with path.open("ab") as stream:
        stream.write(certificate.public_bytes(PEM))
    return path


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key that only its owner may read."""
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
