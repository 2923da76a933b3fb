"""The kept certificate: the last that passed the checks, for the day when its source has none that does."""

from typing import Optional

from mailimg_firstboot import certificates
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Compare the kept certificate with the one that this run goes on with."""
    content, state = host.read(certificates.KEPT), host.state(certificates.KEPT)
    if work.certificate is None:
        return "{}: kept, and the node has no use for it".format(certificates.KEPT) if state else None
    if content is None or state is None:
        return "{}: absent".format(certificates.KEPT)
    if content != certificates.kept_content(work.certificate.bundle):
        return "{}: another certificate".format(certificates.KEPT)
    if (state.uid, state.gid) != host.ids("root", "root") or state.mode != 0o600:
        return "{}: owner or mode differ".format(certificates.KEPT)
    return None


def apply(host: Host, work: Work) -> None:
    """Keep it, closed to others."""
    if work.certificate is None:
        host.remove(certificates.KEPT)
    else:
        host.write(certificates.KEPT, certificates.kept_content(work.certificate.bundle), mode=0o600)


def undo(host: Host, _work: Work) -> None:
    """Remove it: a node that left must not hold the layer's key."""
    host.remove(certificates.KEPT)
