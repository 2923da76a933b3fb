"""What this server tells the others of itself."""

import ipaddress
from typing import Any, Iterable

from mailimg_firstboot import assignment, roster
from mailimg_firstboot.cloud import address
from mailimg_firstboot.errors import StepError
from mailimg_firstboot.work import Work


def me(work: Work) -> roster.Me:
    """This server, as its siblings reach and check it.

    Raises:
        StepError: no address is the site's; there is no certificate, or it has no name.
    """
    place, _ = assignment.parts(work.role)
    site: Any = work.site
    if work.certificate is None:
        raise StepError("servers of {} need a certificate to know each other by".format(work.role.role))
    mine, networks = address.beside(site, site[place.site]["server"]), list(site["networks"])
    if roster.inside(mine, [ipaddress.ip_network(text) for text in networks]) is None:
        raise StepError("{} does not lie in the site's networks: other servers would not pass users on to it".format(
            mine), "Correct `networks`, or balancer.address.")
    # First what the site wants covered: each certificate of the layer does, whichever name a renewed one begins with.
    names = list(site.get("tls", {}).get("names", [])) + work.certificate.seen.names
    return roster.Me(work.node.instance, mine, covered(names, work.node.hostname), networks)


def covered(names: Iterable[str], hostname: str) -> str:
    """A name that a certificate with these names covers.

    Raises:
        StepError: it has none.
    """
    for name in names:
        return name.replace("*", hostname, 1)
    raise StepError("the certificate has no DNS name",
                    "The servers of this layer check each other's certificate: give it the layer's name.")
