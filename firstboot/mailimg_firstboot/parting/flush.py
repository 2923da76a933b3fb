"""The queue on its own ways: one more attempt at everything. What stays is handed over by the next step."""

from typing import Optional

from mailimg_firstboot import mta, postfix
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work


def check(host: Host, work: Work) -> Optional[str]:
    """Look into the queue."""
    left = mta.queue(host, work)
    return postfix.words(left) if left else None


def apply(host: Host, work: Work) -> None:
    """Try to deliver everything; a Postfix that was stopped with mail in its queue is started for it."""
    mine = mta.of(work)
    if mine is None or not mta.queue(host, work):
        return
    mta.take(host, work, mine, start=True)
    host.postfix.flush(mine.config)


def undo(_host: Host, _work: Work) -> None:
    """Mail that was delivered stays delivered."""
