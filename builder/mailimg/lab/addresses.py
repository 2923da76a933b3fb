"""The lab's world: who has which address. Names, and all that is not said here, are those of `peers.addresses`."""

from __future__ import annotations

from mailimg.peers import addresses as at

NETWORK4 = "10.91.0.0/24"
NETWORK6 = "fd00:91::/64"
PREFIX4 = "10.91.0."
PREFIX6 = "fd00:91::"

GATEWAY, CONTROLLER, STORAGE, BALANCER = 1, 2, 5, 100
GATEWAY4 = f"{PREFIX4}{GATEWAY}"  # name server and HTTPS files, too
GATEWAY6 = f"{PREFIX6}{GATEWAY}"
# As a bridge's own (`peers.addresses.HOST_MAC`): nodes come and go, and who is behind it must stay within reach.
GATEWAY_MAC = f"52:54:00:5b:00:{GATEWAY:02x}"
DC4 = f"{PREFIX4}{CONTROLLER}"
BALANCER4 = f"{PREFIX4}{BALANCER}"  # where the balancer's connections to nodes come from

# The Internet, in networks for documentation (RFC 5737, RFC 3849).
SENDER4, SENDER6 = at.SENDER4, at.SENDER6
RECEIVER4 = "203.0.113.25"
RECEIVER_NAME = f"mx.{at.FOREIGN_DOMAIN}"
HOME4 = "192.0.2.10"

MX_NAME = f"mx.{at.CLOUD_DOMAIN}"
POP_NAME = f"pop.{at.CLOUD_DOMAIN}"
DKIM_SELECTOR = "lab"
DKIM_NAME = f"{DKIM_SELECTOR}._domainkey.{at.DOMAIN}"


def pair(number: int) -> tuple[str, str]:
    """Both addresses of the server network that end with a number (decimal, in IPv6 too, for the eye)."""
    return f"{PREFIX4}{number}", f"{PREFIX6}{number}"
