"""Until this server serves, its users are the others': Dovecot's table is that of before the boot.

Others may work for its users since: with the old table its Dovecot would work on their mail as well, from its start to
the step `assignment`.
"""

from typing import Optional

from mailimg_firstboot import assignment, myself, roster
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Whether the others have been told of this server since the boot, be it that it does not serve."""
    if work.role.assignment is None or host.read(roster.STATE) is not None:
        return None
    return "{}: absent; others may work for its users".format(roster.STATE)


def apply(host: Host, work: Work) -> None:
    """Tell the others that this server does not serve yet, and Dovecot whose its users are.

    Raises:
        TransientError: the storage does not answer.
        StepError: no address is the site's; the certificate has no name.
    """
    if check(host, work) is None:
        return
    mine = myself.me(work)._replace(address="")
    assignment.abstain(host, work.role, mine)
    host.write(roster.STATE, roster.written(mine))


def undo(host: Host, _work: Work) -> None:
    """Forget it; one that serves by now has more to take back (`assignment`)."""
    mine = roster.read(host)
    if mine is not None and not mine.address:
        host.remove(roster.STATE)
