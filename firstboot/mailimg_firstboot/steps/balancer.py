"""This instance in the pools of the load balancer: the last step, because whoever is in a pool is sent mail.

A site document without `balancer` asks for nothing. `leave` calls `drain` long before `undo`: sessions have to end in
between.
"""

from typing import Optional

from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Read every pool back."""
    if "balancer" not in work.site:
        return None
    return "; ".join(host.cloud.balancer(work.site, work.role, work.node).differences()) or None


def apply(host: Host, work: Work) -> None:
    """Add this instance's ports to their pools, adopt what is there already, correct what differs.

    Raises:
        TransientError: a pool is under change, or the API does not answer.
        StepError: a pool is missing or ambiguous, or the application credential may not do it.
    """
    if "balancer" in work.site:
        host.cloud.balancer(work.site, work.role, work.node).register()


def drained(host: Host, work: Work) -> Optional[str]:
    """None, or in which pools this instance is still given new sessions."""
    if "balancer" not in work.site:
        return None
    return "; ".join(host.cloud.balancer(work.site, work.role, work.node).undrained()) or None


def drain(host: Host, work: Work) -> None:
    """End new sessions; the members stay, so that old ones can end. Errors as `apply`."""
    if "balancer" in work.site:
        host.cloud.balancer(work.site, work.role, work.node).drain()


def left(host: Host, work: Work) -> Optional[str]:
    """None, or the pools that this instance is still a member of."""
    if "balancer" not in work.site:
        return None
    return "; ".join(host.cloud.balancer(work.site, work.role, work.node).left()) or None


def undo(host: Host, work: Work) -> None:
    """Drain, then remove this instance's members and nothing else; `left` tells when they are gone. Errors as `apply`.

    Draining is an act of its own for the load balancer, which is under change (TransientError) after it.
    """
    if "balancer" in work.site:
        balancer = host.cloud.balancer(work.site, work.role, work.node)
        balancer.drain()
        balancer.remove()
