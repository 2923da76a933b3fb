"""The little world of a verification: who has which address and name.

The server network is 10.90.0.0/24. The senders stand outside of it, in the networks of RFC 5737 and RFC 3849 that
documentation may use, because an MX must treat the Internet otherwise than its own network.
"""

from __future__ import annotations

DOMAIN = "example.org"
CLOUD_DOMAIN = "cloud.example.org"
BASE_DN = "dc=example,dc=org"
READER_DN = f"cn=reader,{BASE_DN}"

NETWORK4 = "10.90.0.0/24"
ANY4 = "0.0.0.0"  # noqa: S104 - a default route, nothing is bound
HOST4 = "10.90.0.1"  # gateway, directory, DNS and delivery layer in one
HOST6 = "fd00:90::1"
# Otherwise a bridge has the lowest of its ports' addresses: another one when that port goes, unknown to its neighbours.
HOST_MAC = "52:54:00:5a:00:01"
NODE4 = "10.90.0.10"
NODE6 = "fd00:90::10"
NODE_MAC = "52:54:00:5a:00:10"
NODE_NAME = "node-1"
INSTANCE = "5f2d8a51-7f6b-4c1c-9a1e-0c5a90000010"

SENDER4 = "198.51.100.25"
SENDER6 = "2001:db8:25::25"
SENDER_NAME = "mail.sender.example"
SENDER_DOMAIN = "sender.example"  # SPF: passes from SENDER4 and SENDER6
FORGED_DOMAIN = "forged.example"  # SPF: -all
FOREIGN_DOMAIN = "elsewhere.example"  # a domain that is not ours, with an MX

DIRECTORY_NAME = f"directory.{CLOUD_DOMAIN}"
DELIVERY_NAME = f"delivery.{CLOUD_DOMAIN}"
DELIVERY_PORT = 10025
SMTP_OUT_NAME = f"smtp-out.{CLOUD_DOMAIN}"
SMTP_OUT_PORT = 10587

NODE_FQDN = f"{NODE_NAME}.{CLOUD_DOMAIN}"
DKIM_SELECTOR = "verify"
DKIM_NAME = f"{DKIM_SELECTOR}._domainkey.{DOMAIN}"
WEBMAIL_NAME = f"webmail.{DOMAIN}"
WEBMAIL_TITLE = "Post für alle"
FILES_NAME = f"files.{CLOUD_DOMAIN}"  # where the layer's certificate is fetched
IMAP_NAME = f"imap.{CLOUD_DOMAIN}"

# The data volume of a storage server: a disk with this serial.
VOLUME_SERIAL = "3b8e1f52-7c60-4b0f-8a8e-5a0000000020"

# The Active Directory domain, with a controller that has an address of its own on the bridge.
AD_DOMAIN = f"ad.{DOMAIN}"
AD_REALM = AD_DOMAIN.upper()
AD_BASE_DN = ",".join(f"DC={label}" for label in AD_DOMAIN.split("."))
DC4 = "10.90.0.2"
DC_HOST = "dc1"
DC_NAME = f"{DC_HOST}.{AD_DOMAIN}"
