"""Whether the kernel's clock follows a time source: waited for a little, reported, never a reason not to serve."""

from typing import Optional

from mailimg_firstboot.errors import TolerableError
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, _work: Work) -> Optional[str]:
    """Ask the kernel."""
    return None if host.clock_synchronised() else "the clock is not synchronised"


def apply(_host: Host, work: Work) -> None:
    """Nothing can be done but wait, and nothing is worth waiting for where the site names no servers.

    Raises:
        TolerableError: the site names no time servers.
    """
    if not work.site["time"]["servers"]:
        raise TolerableError("the clock is not synchronised, and the site document names no time.servers")


def undo(_host: Host, _work: Work) -> None:
    """Nothing was changed."""
