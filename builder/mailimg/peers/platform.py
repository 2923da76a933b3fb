"""The rest of the platform around a node: the Internet, the smtp-out layer, keys and certificates."""

from __future__ import annotations

import base64
import ssl
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority
from mailimg.peers.directory import SERVICE
from mailimg.peers.sink import Door, Sink

# A master user for the verification only, and the hash of his password (SHA512-CRYPT).
MASTER = "helpdesk"
MASTER_PASSWORD = "master of none"  # noqa: S105 - opens nothing but a node that lives for a minute
MASTER_HASH = ("{SHA512-CRYPT}$6$mailimgverify$"
               "58ukJ2M/M1ST82HNWgyWPfRMHmAksAthEEOgMxqfRT1w2sI8ytyK5fsB6nms56CV/xnzVlD8UiWWNL6I/P5eM0")


class Platform:
    """Servers and secrets of the layers that the node is not.

    Attributes:
        internet: the MX of all foreign domains.
        smtp_out: the smtp-out layer; takes mail from the platform's own account only.
        dkim_record: the TXT record with the public key of the mail domain.
    """

    def __init__(self, authority: Authority, password: str) -> None:
        self.authority = authority
        self.password = password
        self.internet = Sink(at.SENDER4, 25, at.SENDER_NAME)
        door = Door(authority.issue(at.SMTP_OUT_NAME, at.HOST4), SERVICE, password)
        self.smtp_out = Sink(at.HOST4, at.SMTP_OUT_PORT, at.SMTP_OUT_NAME, door)
        self.node = authority.issue(at.NODE_FQDN, at.NODE4, at.NODE6)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._dkim = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()).decode()
        public = key.public_key().public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo)
        self.dkim_record = f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"

    def site_keys(self) -> dict[str, Any]:
        """Keys of the site document beyond those that every role has; a role uses what it needs."""
        return {
            "relay_account": {"login": SERVICE, "password": f"literal:{self.password}"},
            "tls": {"certificate": self.node.chain, "key": f"literal:{self.node.key.read_text()}"},
            "dkim": [{"domain": at.DOMAIN, "selector": at.DKIM_SELECTOR, "key": f"literal:{self._dkim}"}],
            # Nothing is mounted from there: a container is given the mount point itself.
            "storage": {"server": f"nfs.{at.CLOUD_DOMAIN}", "export": "/NFSVOL"},
            "masters": [{"login": MASTER, "password": f"literal:{MASTER_HASH}"}],
        }

    def client_tls(self) -> ssl.SSLContext:
        """TLS of a client that trusts the verification's authority and nobody else."""
        return ssl.create_default_context(cafile=str(self.authority.file))
