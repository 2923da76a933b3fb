"""What status.json holds of the layer's certificate, for people, and what the time since has made of it."""

from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

from mailimg_firstboot.tls import checks


def look(status: Optional[Dict[str, Any]], now: float) -> Optional[Dict[str, Any]]:
    """The entry as it must be read at `now` (seconds since 1970); None where there is none."""
    if not status:
        return None
    ends = datetime.strptime(status["not_after"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    ending = checks.ending(ends, now, status["warn_days"])
    if status["warning"] is None and ending:
        return dict(status, warning="certificate: " + ending)
    return status


def lines(status: Optional[Dict[str, Any]]) -> List[str]:
    """The entry in words."""
    if not status:
        return []
    found = ["certificate: {} until {not_after}, from {source}, checked {checked}".format(
        ", ".join(status["names"]) or "(no names)", **status)]
    return [*found, "warning: " + status["warning"]] if status["warning"] else found
