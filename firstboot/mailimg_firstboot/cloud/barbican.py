"""Secrets and certificate containers in Barbican."""

import re
from typing import Dict, NamedTuple, Optional

from mailimg_firstboot.cloud.session import NotFoundError, Session
from mailimg_firstboot.errors import StepError

SERVICE = "key-manager"

# What an application credential must be allowed, and no more.
SECRET = "/v1/secrets/*/payload"  # noqa: S105 - a path
CONTAINER = "/v1/containers/*"
RULES = tuple({"service": SERVICE, "method": "GET", "path": path} for path in (SECRET, CONTAINER))

UUID = re.compile(r"(?:.*/)?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\Z")

# Of a certificate container.
PARTS = ("certificate", "private_key", "intermediates", "private_key_passphrase")


class Certificate(NamedTuple):
    """The bytes of a certificate container's secrets, as they were stored; None for what it does not have."""

    certificate: bytes
    private_key: bytes
    intermediates: Optional[bytes]
    passphrase: Optional[bytes]

    def __repr__(self) -> str:
        return "Certificate(<secret>)"


def identifier(reference: str) -> str:
    """The UUID of a secret or container by its UUID or href.

    Of an href only the UUID is used: where Barbican is, the catalogue says, and a token goes nowhere else.

    Raises:
        ValueError: there is none.
    """
    found = UUID.match(reference.strip())
    if found is None:
        raise ValueError("is no UUID and no href that ends with one")
    return found.group(1).lower()


class Barbican:
    """A project's secrets."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def payload(self, reference: str) -> bytes:
        """The bytes of a secret; of what was stored as text, Barbican has taken the blanks at its ends away.

        Args:
            reference: its UUID or href.

        Raises:
            StepError: there is none, or the credential may not read it.
            TransientError: Barbican does not answer.
        """
        uuid = identifier(reference)
        what = "read secret {} in Barbican".format(uuid)
        try:
            # This type is taken for a text as well; only of it are the bytes what was stored.
            return self._session.call(SERVICE, "GET", SECRET, (uuid,), what, accept="application/octet-stream").content
        except NotFoundError as error:
            raise StepError(error.message, "There is no such secret, or it has no payload: `openstack secret list`, as "
                                           "the credential's user.") from error

    def container(self, reference: str) -> Dict[str, str]:
        """The UUIDs of a container's secrets by their names in it.

        Raises:
            StepError: there is no such container, or the credential may not read it.
            TransientError: Barbican does not answer.
        """
        uuid = identifier(reference)
        what = "read container {} in Barbican".format(uuid)
        try:
            found = self._session.call(SERVICE, "GET", CONTAINER, (uuid,), what).json(what)
            return {str(one["name"]): identifier(one["secret_ref"]) for one in found["secret_refs"]}
        except NotFoundError as error:
            raise StepError(error.message, "There is no such container: `openstack secret container list`, as the "
                                           "credential's user.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise StepError("{}: the answer is no container".format(what)) from error

    def certificate(self, reference: str) -> Certificate:
        """What a certificate container holds.

        Raises:
            StepError: it is no certificate container, or as `container` and `payload`.
            TransientError: Barbican does not answer.
        """
        parts = self.container(reference)
        missing = [name for name in PARTS[:2] if name not in parts]
        if missing:
            said = "container {} in Barbican has no {}".format(identifier(reference), " and no ".join(missing))
            raise StepError(said, "It must be of the type `certificate`.")
        found = {name: self.payload(parts[name]) for name in PARTS if name in parts}
        return Certificate(found[PARTS[0]], found[PARTS[1]], found.get(PARTS[2]), found.get(PARTS[3]))
