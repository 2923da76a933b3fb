"""The role's configuration files. Words about a secret file never tell its content."""

from typing import Optional

from mailimg_firstboot.errors import StepError
from mailimg_firstboot.host import Host
from mailimg_firstboot.rendering import RenderedFile
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Compare content, owner, group and mode of every file."""
    found = [difference(host, one) for one in work.files]
    return "; ".join(words for words in found if words) or None


def apply(host: Host, work: Work) -> None:
    """Write the files that differ."""
    for one in work.files:
        if difference(host, one):
            host.write(one.path, one.content, one.owner, one.group, one.mode)


def undo(host: Host, work: Work) -> None:
    """Remove the files that are ours; one that somebody changed stays."""
    for one in work.files:
        state = host.state(one.path)
        if state is not None and state.regular and host.read(one.path) == one.content:
            host.remove(one.path)


def difference(host: Host, one: RenderedFile) -> str:
    """How a file on the machine differs from the one it must be; empty when it does not."""
    state = host.state(one.path)
    if state is None:
        return "{}: absent".format(one.path)
    if not state.regular:
        return "{}: not a regular file".format(one.path)
    words = []
    content = host.read(one.path)
    if content != one.content:
        words.append("content differs" if one.secret else _lines(content or b"", one.content))
    try:
        uid, gid = host.ids(one.owner, one.group)
    except StepError as error:
        return "{}: {}".format(one.path, error.message)
    if (state.uid, state.gid) != (uid, gid):
        words.append("owner {}:{} instead of {}:{}".format(state.uid, state.gid, uid, gid))
    if state.mode != one.mode:
        words.append("mode {:04o} instead of {:04o}".format(state.mode, one.mode))
    return "{}: {}".format(one.path, ", ".join(words)) if words else ""


def _lines(old: bytes, new: bytes) -> str:
    """How many lines go and come."""
    before, after = old.splitlines(), new.splitlines()
    gone = [line for line in before if line not in after]
    come = [line for line in after if line not in before]
    if not gone and not come:
        return "content differs in the order or the ends of its lines"
    return "content differs ({} lines go, {} come)".format(len(gone), len(come))
