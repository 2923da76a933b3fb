"""Whether the kernel's clock follows a time source: waited for a little, reported, never a reason not to serve."""

from typing import Optional

from mailimg_firstboot.errors import TolerableError
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, _work: Work) -> Optional[str]:
    """Ask the kernel."""
    return None if host.clock_synchronised() else "the clock is not synchronised"


def apply(host: Host, work: Work) -> None:
    """Nothing can be done but wait; and not even that where the site names no servers or chrony cannot run.

    Raises:
        TolerableError: waiting would not help.
    """
    if not work.site["time"]["servers"]:
        raise TolerableError("the clock is not synchronised, and the site document names no time.servers")
    unit = work.role.facts["chrony"]["unit"]
    state = host.systemd.state(unit)
    # In a container the clock is the host's: chrony's unit has a condition that keeps it from starting.
    if not state.active:
        raise TolerableError("the clock is not synchronised, and {} is {}".format(unit, state.words))


def undo(_host: Host, _work: Work) -> None:
    """Nothing was changed."""
