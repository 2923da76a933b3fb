"""Which address of this machine others reach it at."""

import contextlib
import ipaddress
import socket
from typing import Any, Dict, List, Optional

from mailimg_firstboot.errors import StepError, TransientError


def own(site: Dict[str, Any]) -> str:
    """The address that is registered in pools.

    `balancer.address` if it is given (as `mailimg:balancer.address` of a server's `meta`). Otherwise the one that the
    kernel would use towards Keystone if it lies in one of the site's networks; else the first that the kernel would
    use towards one of these networks and that lies in it.

    Raises:
        TransientError: Keystone's name has no address (yet).
        StepError: no address lies in the site's networks.
    """
    given = site["balancer"].get("address")
    return str(ipaddress.ip_address(given)) if given else _among(site, _keystone(site["cloud"]["auth_url"]))


def beside(site: Dict[str, Any], server: str) -> str:
    """The address that servers with the same storage reach this one at: `balancer.address`, or as `own` towards it.

    Args:
        server: the storage server's name or address.

    Raises:
        StepError: no address lies in the site's networks.
    """
    given = site.get("balancer", {}).get("address")
    if given:
        return str(ipaddress.ip_address(given))
    place = None
    # In a container it may have no address: what is mounted there was mounted for it.
    with contextlib.suppress(OSError):
        place = _first(server, None)
    return _among(site, place)


def _among(site: Dict[str, Any], place: Optional[str]) -> str:
    """The address towards a place, if it lies in one of the site's networks; else one towards and in one of them.

    Raises:
        StepError: no address lies in the site's networks.
    """
    networks = [ipaddress.ip_network(text) for text in site.get("networks", [])]
    seen: List[str] = []
    # A network of one address has no other to look towards.
    places = [place] + [str(next(iter(one.hosts()), one[0])) for one in networks]
    for index, place in enumerate(places):
        found = None if place is None else towards(place)
        if found is None:
            continue
        if not networks:
            return found
        allowed = networks if index == 0 else networks[index - 1:index]
        if any(ipaddress.ip_address(found) in one for one in allowed):
            return found
        if found not in seen:
            seen.append(found)
    raise StepError("no address of this instance lies in the site's networks; it has {}".format(
        ", ".join(seen) or "no route to any of them"), "Correct `networks`, or set balancer.address.")


def towards(place: str) -> Optional[str]:
    """The address that the kernel would send from, or None without a route.

    Connecting a datagram socket sends nothing; it only looks the route up.
    """
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((place, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _first(name: Optional[str], port: Optional[int]) -> str:
    return str(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0][4][0])


def _keystone(auth_url: str) -> str:
    import urllib.parse

    parts = urllib.parse.urlsplit(auth_url)
    try:
        return _first(parts.hostname, parts.port or 443)
    except OSError as error:
        raise TransientError("look up {}: {}".format(parts.hostname, error.strerror or error),
                             "Is cloud.auth_url right, and does name resolution work?") from error
