"""Which bytes a running unit read when the agent last started or reloaded it.

systemd does not know that. Times cannot tell it either: the clock of a fresh instance jumps while it boots, so a file's
time says little about whether a daemon started before or after it was written. So the hash of a unit's files is kept in
/run, which goes away with the daemons at shutdown; it is written after the unit took the files, so that a killed run
reloads once too often and never once too little.
"""

import hashlib
import json
from typing import Dict, Iterable

from mailimg_firstboot.host import Host
from mailimg_firstboot.rendering import RenderedFile

RECORD = "/run/mailimg/loaded.json"


def digest(host: Host, paths: Iterable[str]) -> str:
    """One hash over names and bytes of files, as they are on the machine now."""
    total = hashlib.sha256()
    for path in sorted(paths):
        content = host.read(path)
        state = "absent" if content is None else hashlib.sha256(content).hexdigest()
        total.update("{}\0{}\n".format(path, state).encode("utf-8"))
    return total.hexdigest()


def of_service(host: Host, files: Iterable[RenderedFile], name: str) -> str:
    """The `digest` of the role's files that a service reads."""
    return digest(host, [one.path for one in files if one.service == name])


def has(host: Host, unit: str, files: str) -> bool:
    """Whether the unit read the files whose `digest` is `files`."""
    return _all(host).get(unit) == files


def remember(host: Host, unit: str, files: str) -> None:
    """The unit has read the files whose `digest` is `files`."""
    with host.guard:
        _write(host, dict(_all(host), **{unit: files}))


def forget(host: Host, unit: str) -> None:
    """Nothing is known of the unit any more."""
    with host.guard:
        known = _all(host)
        if known.pop(unit, None):
            _write(host, known)


def _all(host: Host) -> Dict[str, str]:
    return dict(json.loads((host.read(RECORD) or b"{}").decode("utf-8")))


def _write(host: Host, known: Dict[str, str]) -> None:
    # Closed to others: a hash over a short secret could be searched for.
    host.write(RECORD, json.dumps(known, sort_keys=True).encode("utf-8"), mode=0o600)
