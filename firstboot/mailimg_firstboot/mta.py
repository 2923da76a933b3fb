"""The role's mail system while its node leaves: what of its configuration is changed for that, and taken back."""

from typing import Dict, List, NamedTuple, Optional

from mailimg_firstboot import loaded
from mailimg_firstboot.host import Host
from mailimg_firstboot.postfix import Message
from mailimg_firstboot.work import Work

NAME = "postfix"

# Files that only a leaving node has; in memory, so that none outlives the machine.
FOLDER = "/run/mailimg/leave/"
TRANSPORT = FOLDER + "transport"
LOGIN = FOLDER + "login"
POLICY = FOLDER + "policy"
TRUST = FOLDER + "ca.pem"
FILES = (TRANSPORT, LOGIN, POLICY, TRUST)

# There while mail in the queue may still know only the way to a content filter that is no longer used.
REQUEUE = FOLDER + "requeue"


class Mta(NamedTuple):
    """Unit and folder of configuration of the role's mail system."""

    unit: str
    config: str


def of(work: Work) -> Optional[Mta]:
    """The role's mail system; None for a role that has none."""
    for service in work.role.services:
        if service.name == NAME and service.wanted(work.site):
            return Mta(service.unit, work.role.facts[NAME]["config"])
    return None


def queue(host: Host, work: Work) -> List[Message]:
    """What is in its queue; nothing where there is none."""
    mine = of(work)
    return [] if mine is None else host.postfix.queue(mine.config)


def digest(host: Host, work: Work) -> str:
    """One hash over all files that it reads, as they are now; see `loaded`."""
    return loaded.digest(host, [one.path for one in work.files if one.service == NAME] + list(FILES))


def change(host: Host, work: Work, mine: Mta, settings: Dict[str, str]) -> None:
    """Change main.cf where it differs."""
    wrong = {name: value for name, value in settings.items() if host.postfix.setting(mine.config, name) != value}
    if wrong:
        host.postfix.set(mine.config, wrong)


def take(host: Host, work: Work, mine: Mta, start: bool) -> None:
    """Make it read its files if it has not; `start`: it is to run."""
    active, files = host.systemd.state(mine.unit).active, digest(host, work)
    if active and not loaded.has(host, mine.unit, files):
        host.systemd.reload(mine.unit)
    elif not active and start:
        host.systemd.start(mine.unit)
    else:
        return
    loaded.remember(host, mine.unit, files)


def restore(host: Host, work: Work) -> None:
    """Back to the files of a node that serves."""
    mine = of(work)
    if mine is None:
        return
    for one in work.files:
        if one.service == NAME and host.read(one.path) not in (None, one.content):
            host.write(one.path, one.content, one.owner, one.group, one.mode)
    for path in (*FILES, REQUEUE):
        host.remove(path)
    take(host, work, mine, start=False)
