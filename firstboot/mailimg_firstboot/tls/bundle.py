"""A certificate with its chain and its key: from the forms that people store them in to one form, PEM."""

import re
from typing import Any, List, NamedTuple, Optional

from mailimg_firstboot.secret import Secret

BLOCK = re.compile(br"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)

# What stands beside the key in a file that `openssl ecparam -genkey` wrote.
IGNORED = (b"EC PARAMETERS", b"DH PARAMETERS")


class Bundle(NamedTuple):
    """Args:
        certificate: the chain in PEM, the server's own first.
        key: its private key in PEM, not encrypted.
    """

    certificate: str
    key: Secret


def backend() -> Any:
    """What releases of cryptography before 3.1 must be told with each call, and later ones take."""
    from cryptography.hazmat.backends import default_backend

    return default_backend()


def load(chain: str) -> List[Any]:
    """The certificates of a PEM text, in its order.

    Raises:
        ValueError: one cannot be read, or there is none.
    """
    from cryptography import x509

    texts = [block.group() for block in BLOCK.finditer(chain.encode("ascii")) if block.group(1) == b"CERTIFICATE"]
    if not texts:
        raise ValueError("there is no certificate in it")
    return [_loaded(x509.load_pem_x509_certificate, text + b"\n", index) for index, text in enumerate(texts)]


def _loaded(read: Any, content: bytes, index: int) -> Any:
    try:
        return read(content, backend())
    except Exception:  # noqa: BLE001 - what a wrong one raises differs between the releases
        raise ValueError("certificate {} cannot be read".format(index + 1)) from None


def is_archive(content: bytes) -> bool:
    """Whether this is DER, as a PKCS#12 archive is, and no PEM."""
    return content[:1] == b"\x30" and b"-----BEGIN " not in content


def chain(*contents: bytes) -> str:
    """The certificates of several texts in PEM (or one in DER each), after one another.

    Raises:
        ValueError: there is none, or something else.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    found: List[Any] = []
    for content in contents:
        blocks = list(BLOCK.finditer(content))
        if not blocks and content.strip():
            found.append(_loaded(x509.load_der_x509_certificate, content, len(found)))
        for block in blocks:
            if block.group(1) == b"CERTIFICATE":
                found.append(_loaded(x509.load_pem_x509_certificate, block.group() + b"\n", len(found)))
            elif block.group(1) not in IGNORED and not block.group(1).endswith(b"PRIVATE KEY"):
                raise ValueError("there is a {} in it; certificates in PEM are expected".format(
                    block.group(1).decode("ascii")))
    if not found:
        raise ValueError("there is no certificate in it")
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode("ascii") for one in found)


def key(content: bytes, passphrase: Optional[bytes] = None) -> Secret:
    """The one private key in a text in PEM (or in DER), not encrypted. No message holds any of it.

    Args:
        passphrase: of an encrypted key.

    Raises:
        ValueError: there is none, or not one, or it does not open.
    """
    from cryptography.hazmat.primitives import serialization

    blocks = [block for block in BLOCK.finditer(content) if block.group(1).endswith(b"PRIVATE KEY")]
    if len(blocks) > 1:
        raise ValueError("there are {} private keys in it".format(len(blocks)))
    if not blocks and (b"-----BEGIN " in content or not content.strip()):
        raise ValueError("there is no private key in it")
    read = serialization.load_pem_private_key if blocks else serialization.load_der_private_key
    text = blocks[0].group() + b"\n" if blocks else content
    try:
        try:
            loaded = read(text, None, backend())
        except TypeError:
            if passphrase is None:
                raise ValueError("the private key is encrypted") from None
            loaded = read(text, passphrase, backend())
        plain = loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption())
    except ValueError as error:
        if str(error) == "the private key is encrypted":
            raise
        words = "cannot be read" if passphrase is None else "does not open with its passphrase"
        raise ValueError("the private key " + words) from None
    except Exception:  # noqa: BLE001 - a kind of key that this release does not know
        raise ValueError("the private key cannot be read") from None
    return Secret(plain.decode("ascii"))
