"""Postfix' queues, counted in their folders.

postqueue and showq open every message, which for a queue of 100,000 takes minutes and the disk's whole attention;
reading the folders' entries takes a fraction of a second, and nobody notices. When a message came stands in its name:
the roles set `enable_long_queue_ids`. A file's own times do not tell: in `deferred` they are those of the next attempt.
"""

import os
import re
from typing import Dict, Iterator, List, Optional

from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import View
from mailimg_firstboot.postfix import QUEUES

# `corrupt` is what Postfix could not read; nobody but a person will ever look at it.
FOLDERS = (*QUEUES, "corrupt")

# A queue id of the long form (Postfix' src/global/mail_queue.h): seconds since 1970 of six digits or more and
# microseconds of four, to the base of 52; a `z`; the number of the inode, whose digits have no `z`.
DIGITS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
LONG = re.compile("([{0}]{{6,}})([{0}]{{4}})z[{1}]+\\Z".format(DIGITS, DIGITS[:-1]))

# Microseconds to the base of 16, five digits, and the inode.
SHORT = re.compile(r"[0-9A-F]{6,}\Z")


def collect(view: View, samples: Samples) -> None:
    """Count each queue, and find its oldest message."""
    config = view.fact("postfix", "config")
    place = view.host.postfix.setting(config, "queue_directory")
    if not place.startswith("/"):
        raise ValueError("Postfix does not say where its queue is")
    now = view.clock.epoch()
    for queue, names in {one: ids(str(view.host.path("{}/{}".format(place, one)))) for one in FOLDERS}.items():
        came = [one for one in map(arrival, names) if one is not None]
        samples.add("postfix_queue_messages", len(names), queue=queue)
        samples.add("postfix_queue_oldest_age_seconds", max(0.0, round(now - min(came), 1)) if came else 0, queue=queue)


def ids(folder: str) -> List[str]:
    """Queue ids of all messages below a folder; files that are being written have names of another form."""
    return [name for name in _files(folder) if LONG.match(name) or SHORT.match(name)]


def arrival(name: str) -> Optional[float]:
    """When a message came, in seconds since 1970; None for a short id, which does not tell."""
    found = LONG.match(name)
    if not found:
        return None
    return _number(found.group(1)) + _number(found.group(2)) / 1e6


def _number(text: str) -> int:
    value = 0
    for digit in text:
        value = value * len(DIGITS) + VALUES[digit]
    return value


def _files(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(entry.path)
                else:
                    yield entry.name
    except FileNotFoundError:
        # `deferred` has its folders made as they are needed, and Postfix that never ran has none.
        return


VALUES: Dict[str, int] = {digit: value for value, digit in enumerate(DIGITS)}
