"""The unit by which the node leaves when it is shut down, where the site wants that (leave.at_shutdown).

systemd stops units in the opposite order of their start: the unit comes after the role's daemons and the network, so
its ExecStop runs while they still do. The role's units are written into a drop-in, which goes with the boot.
"""

from typing import Optional

from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work

UNIT = "mailimg-leave.service"
DROP_IN = "/run/systemd/system/mailimg-leave.service.d/mailimg.conf"

# Seconds beyond the waits of the site document: for the directory, and for daemons to stop.
SPARE = 300
# What `balancer.deadline` is by default; a node without pools is given as long, although it needs it not.
POOLS = 300


def check(host: Host, work: Work) -> Optional[str]:
    """Compare the drop-in, and whether the unit waits for its stop."""
    active = host.systemd.state(UNIT).active
    if not work.site["leave"]["at_shutdown"]:
        return "{} would leave at shutdown, and the site does not want it".format(UNIT) if active else None
    if host.read(DROP_IN) != wanted(work):
        return "{}: not as it must be".format(DROP_IN)
    return None if active else "{} is not active: a shutdown would not leave".format(UNIT)


def apply(host: Host, work: Work) -> None:
    """Write the drop-in and start the unit; or stop it, which does nothing but at a shutdown."""
    if not work.site["leave"]["at_shutdown"]:
        undo(host, work)
        return
    if host.read(DROP_IN) != wanted(work):
        host.write(DROP_IN, wanted(work))
        host.systemd.reread()
    if not host.systemd.state(UNIT).active:
        host.systemd.start(UNIT)


def undo(host: Host, _work: Work) -> None:
    """A shutdown is a shutdown again."""
    if host.systemd.state(UNIT).active:
        host.systemd.stop(UNIT)
    if host.read(DROP_IN) is not None:
        host.remove(DROP_IN)
        host.systemd.reread()


def wanted(work: Work) -> bytes:
    """The drop-in: what must still run when the node leaves, and how long that may take."""
    times = work.site["leave"]
    # Once until no new sessions come, once until it is in no pool.
    pools = 2 * work.site.get("balancer", {}).get("deadline", POOLS)
    seconds = times["deadline"] + times["flush"] + times["handover"] + pools + SPARE
    units = " ".join(one.unit for one in work.role.services)
    return "[Unit]\nAfter={}\n[Service]\nTimeoutStopSec={}\n".format(units, seconds).encode("utf-8")
