"""How long each hop of the way took, by what Postfix wrote of every delivery."""

from __future__ import annotations

import re

# Queue id, then `delay=` and its parts: before the queue manager, in the queue, connecting, handing over; seconds.
DELIVERY = re.compile(
    r"postfix/(?P<hop>[\w/-]+)\[\d+\]: \w+: to=<[^>]*>.*?, relay=(?P<relay>[^,]+),.*? delay=(?P<delay>[\d.]+), "
    r"delays=(?P<parts>[\d./]+), dsn=[\d.]+, status=(?P<status>\w+)")


def times(log: str) -> dict[str, list[float]]:
    """Seconds by hop of each delivery that was done, from its arrival in the queue to the next one's yes."""
    found: dict[str, list[float]] = {}
    for match in DELIVERY.finditer(log):
        if match["status"] == "sent":
            found.setdefault(match["hop"], []).append(float(match["delay"]))
    return found
