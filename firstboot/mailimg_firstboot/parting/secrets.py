"""What must not stay on a node that has left: files that hold a secret, and indexes, which hold excerpts of mail.

Mail and what users stored is not touched: both lie on the shared storage, and indexes are made from them again.
"""

from typing import List, Optional

from mailimg_firstboot import mta
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """See which are there."""
    found = _there(host, work)
    words = ["there are secrets in {}".format(", ".join(found))] if found else []
    words += ["{} has indexes of mailboxes".format(path) for path in _indexes(host, work)]
    return "; ".join(words) or None


def apply(host: Host, work: Work) -> None:
    """Remove them."""
    for path in _there(host, work):
        host.remove(path)
    for path in _indexes(host, work):
        host.empty(path)


def undo(host: Host, work: Work) -> None:
    """Write the secrets of a node that serves; it makes its indexes itself."""
    for one in work.files:
        if one.secret and host.read(one.path) is None:
            host.write(one.path, one.content, one.owner, one.group, one.mode)


def _there(host: Host, work: Work) -> List[str]:
    paths = [one.path for one in work.files if one.secret] + [mta.LOGIN]
    return [path for path in paths if host.state(path) is not None]


def _indexes(host: Host, work: Work) -> List[str]:
    mount = work.role.mount
    return [mount.indexes] if mount is not None and mount.indexes and host.entries(mount.indexes) else []
