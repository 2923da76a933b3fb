"""The order of a chain: an archive's has none of its own, and TLS needs one."""

from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls.bundle import backend, load
from mailimg_firstboot.tls.checks import public, signed_by


def sorted_chain(text: str, private: Secret) -> str:
    """The certificate of the key first, then each one's issuer; those that belong to nobody's chain are left out.

    Args:
        text: certificates in PEM, in any order.
    """
    from cryptography.hazmat.primitives import serialization

    left = load(text)
    mine = public(serialization.load_pem_private_key(private.reveal().encode("ascii"), None, backend()))
    ordered = [one for one in left if public(one) == mine][:1]
    if not ordered:
        return text
    while True:
        left = [one for one in left if one not in ordered]
        issuers = [one for one in left if signed_by(ordered[-1], one)]
        if not issuers:
            break
        ordered.append(issuers[0])
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode("ascii") for one in ordered)
