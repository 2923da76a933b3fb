"""What must hold of a certificate before a daemon gets it. Pure: bytes in, words out; the time is an argument.

Only API of cryptography is used that 2.1 and 38 (Debian 12) share.
"""

import re
from datetime import timezone
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

from mailimg_firstboot.tls.bundle import Bundle, backend, load

# Bits. NIST SP 800-131A and every browser refuse smaller ones.
RSA_BITS = 2048
EC_BITS = 256

DAY = 86400.0


class Seen(NamedTuple):
    """What a certificate is.

    Args:
        names: the DNS names of the server's own.
        begins: seconds since 1970: the last begin of validity in the chain.
        ends: seconds since 1970: the first end of validity in the chain.
        problems: what is wrong with it at any time.
    """

    names: List[str]
    begins: float
    ends: float
    problems: List[str]


def look(bundle: Bundle, wanted: Sequence[str], trusted: Callable[[], str]) -> Seen:
    """Everything but the time.

    Args:
        wanted: DNS names that must be covered.
        trusted: gives the authorities in PEM that a chain may end at; asked only if it does not end at itself.
    """
    try:
        found = load(bundle.certificate)
    except ValueError as error:
        return Seen([], 0.0, 0.0, [str(error)])
    problems = _key(found, bundle) + _chain(found, trusted)
    try:
        names = _names(found[0])
    except ValueError:
        names = []
        problems.append("its names cannot be read")
    problems += ["it does not cover {}; its names are {}".format(name, ", ".join(names) or "none")
                 for name in wanted if not any(covers(one, name) for one in names)]
    return Seen(names, max(_time(one, "not_valid_before") for one in found),
                min(_time(one, "not_valid_after") for one in found), problems)


def untimely(seen: Seen, now: float) -> Optional[str]:
    """Whether it does not hold at `now` (seconds since 1970), in words."""
    if now < seen.begins:
        return "it, or one of its chain, is not valid before {}; it is {}".format(stamp(seen.begins), stamp(now))
    if now > seen.ends:
        return "it, or one of its chain, expired on {}; it is {}".format(stamp(seen.ends), stamp(now))
    return None


def ending(ends: float, now: float, days: int) -> Optional[str]:
    """A warning if it ends within `days` of `now`."""
    if ends - now > days * DAY:
        return None
    return "expires on {}, in {:.1f} days".format(stamp(ends), (ends - now) / DAY)


def stamp(seconds: float) -> str:
    """Seconds since 1970 as people read them, UTC."""
    from datetime import datetime

    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def covers(pattern: str, name: str) -> bool:
    """RFC 6125, 6.4.3: a wildcard is a whole label, the leftmost, and stands for exactly one."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == name
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and "." in rest and "*" not in rest


def public(one: Any) -> bytes:
    """The public key of a certificate or of a private key, in one form."""
    from cryptography.hazmat.primitives import serialization

    return bytes(one.public_key().public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo))


def signed_by(one: Any, other: Any) -> bool:
    """Whether a certificate names the other as its issuer and carries its signature."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    if one.issuer != other.subject:
        return False
    try:
        signer = other.public_key()
        if isinstance(signer, rsa.RSAPublicKey):
            signer.verify(one.signature, one.tbs_certificate_bytes, padding.PKCS1v15(), one.signature_hash_algorithm)
        elif isinstance(signer, ec.EllipticCurvePublicKey):
            signer.verify(one.signature, one.tbs_certificate_bytes, ec.ECDSA(one.signature_hash_algorithm))
        else:
            # Ed25519 and its like, where the library knows them; DSA, which nobody uses, fails here.
            signer.verify(one.signature, one.tbs_certificate_bytes)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _key(found: List[Any], bundle: Bundle) -> List[str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    try:
        private = serialization.load_pem_private_key(bundle.key.reveal().encode("ascii"), None, backend())
    except TypeError:
        return ["its key is encrypted"]
    except Exception:  # noqa: BLE001 - what a wrong one raises differs between the releases
        return ["its key cannot be read"]
    problems = []
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < RSA_BITS:
        problems.append("its key is weak: RSA with {} bits, fewer than {}".format(private.key_size, RSA_BITS))
    elif isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.key_size < EC_BITS:
        problems.append("its key is weak: {} bits, fewer than {}".format(private.curve.key_size, EC_BITS))
    elif isinstance(private, dsa.DSAPrivateKey):
        problems.append("its key is weak: neither RSA nor of an elliptic curve")
    mine = public(private)
    place = next((index for index, one in enumerate(found) if public(one) == mine), None)
    if place is None:
        problems.append("the key is not that of the certificate {}".format(_title(found[0])))
    elif place > 0:
        problems.append("wrong order: the certificate of the key, {}, must come first; it is number {}".format(
            _title(found[place]), place + 1))
    return problems


def _chain(found: List[Any], trusted: Callable[[], str]) -> List[str]:
    for index, one in enumerate(found[:-1]):
        if signed_by(one, found[index + 1]):
            continue
        issuer = next((place for place, other in enumerate(found) if place != index and signed_by(one, other)), None)
        if issuer is not None:
            return ["wrong order: {} (number {}) is signed by {}, which must come next; it is number {}".format(
                _title(one), index + 1, _title(found[issuer]), issuer + 1)]
        return ["incomplete chain: {} (number {}) is not signed by the next, {}; its issuer is {}".format(
            _title(one), index + 1, _title(found[index + 1]), _name(one.issuer))]
    problems = ["{} signs in its chain but is no certificate authority".format(_title(one))
                for one in found[1:] if not _authority(one)]
    last = found[-1]
    if signed_by(last, last):
        return problems
    try:
        anchors = load(trusted())
    except ValueError:
        anchors = []
    if not any(public(last) == public(one) or signed_by(last, one) for one in anchors if _same(last, one)):
        problems.append("incomplete chain: {} is signed by {}, which is neither there nor trusted (tls.ca)".format(
            _title(last), _name(last.issuer)))
    return problems


def _same(one: Any, anchor: Any) -> bool:
    """Whether an anchor may be a certificate's issuer or itself: by name, which is cheap."""
    return bool(anchor.subject in (one.issuer, one.subject))


def _authority(one: Any) -> bool:
    from cryptography import x509

    try:
        return bool(one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _names(one: Any) -> List[str]:
    from cryptography import x509

    try:
        found = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name) for name in found.get_values_for_type(x509.DNSName)]


def _time(one: Any, field: str) -> float:
    """A date of a certificate; 42 has a new name for what all before have."""
    aware = getattr(one, field + "_utc", None)
    return float((aware or getattr(one, field).replace(tzinfo=timezone.utc)).timestamp())


def _title(one: Any) -> str:
    return _name(one.subject)


def _name(name: Any) -> str:
    """The last part of a distinguished name, of which the common name is one, for a message."""
    parts = [str(part.value) for part in name]
    return re.sub("[\x00-\x1f\x7f-\x9f]", "?", parts[-1])[:60] if parts else "(no name)"
