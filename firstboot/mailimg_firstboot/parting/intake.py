"""No new mail: Postfix closes the ports that others can reach and goes on delivering; what talks to it locally stays.

`master_service_disable` (since Postfix 2.6) does it. The reload closes the port, and cuts what is still open on it
(seen with 3.7): sessions were waited for before. Whoever was cut off before an answer sends the message again, which
may then be there twice. The part of the configuration that the content filter comes back through is left as it is.
"""

from typing import List, Optional

from mailimg_firstboot import loaded, mta
from mailimg_firstboot.host import Host
from mailimg_firstboot.mta import Mta
from mailimg_firstboot.work import Work

SETTING = "master_service_disable"


def check(host: Host, work: Work) -> Optional[str]:
    """See whether mail is taken, or would be as soon as Postfix runs to empty its queue."""
    mine = mta.of(work)
    if mine is None:
        return None
    active = host.systemd.state(mine.unit).active
    if not active and not mta.queue(host, work):
        return None
    missing = [one for one in _wanted(host, mine) if one not in _closed(host, mine)]
    if missing:
        return "Postfix takes mail ({})".format(", ".join(missing))
    if active and not loaded.has(host, mine.unit, mta.digest(host, work)):
        return "Postfix has not read that it is to take no mail"
    return None


def apply(host: Host, work: Work) -> None:
    """Close the ports.

    Raises:
        StepError: Postfix' programs failed.
    """
    mine = mta.of(work)
    if mine is None or check(host, work) is None:
        return
    closed = _closed(host, mine)
    if not set(_wanted(host, mine)) <= set(closed):
        mta.change(host, work, mine, {SETTING: ", ".join(sorted(set(closed) | set(_wanted(host, mine))))})
    mta.take(host, work, mine, start=False)


def undo(host: Host, work: Work) -> None:
    """Take mail again."""
    mta.restore(host, work)


def _wanted(host: Host, mine: Mta) -> List[str]:
    # "smtp.inet" is understood by all versions; "smtp/inet" is newer than 2.10.
    return ["{}.inet".format(one) for one in host.postfix.listeners(mine.config)]


def _closed(host: Host, mine: Mta) -> List[str]:
    return host.postfix.setting(mine.config, SETTING).replace(",", " ").split()
