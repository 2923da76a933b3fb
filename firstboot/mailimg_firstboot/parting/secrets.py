"""Files that hold a secret: none stays on a node that has left. Mail and what users stored is not touched."""

from typing import List, Optional

from mailimg_firstboot import mta
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """See which are there."""
    found = _there(host, work)
    return "there are secrets in {}".format(", ".join(found)) if found else None


def apply(host: Host, work: Work) -> None:
    """Remove them."""
    for path in _there(host, work):
        host.remove(path)


def undo(host: Host, work: Work) -> None:
    """Write those of a node that serves."""
    for one in work.files:
        if one.secret and host.read(one.path) is None:
            host.write(one.path, one.content, one.owner, one.group, one.mode)


def _there(host: Host, work: Work) -> List[str]:
    paths = [one.path for one in work.files if one.secret] + [mta.LOGIN]
    return [path for path in paths if host.state(path) is not None]
