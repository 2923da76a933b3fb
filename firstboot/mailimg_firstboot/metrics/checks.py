"""The health checks of role.json: whether each daemon answers as its clients need it, and how fast."""

import os
from typing import Callable

from mailimg_firstboot.metrics.exposition import Samples
from mailimg_firstboot.metrics.view import PATIENCE, View
from mailimg_firstboot.rolefile import HealthCheck


def collector(check: HealthCheck) -> Callable[[View, Samples], None]:
    """What carries out one check. A daemon that does not answer is a finding, and no failure of the collector."""

    def collect(view: View, samples: Samples) -> None:
        if view.stopped:
            samples.add("up", 0, check=check.name)
            return
        begun = view.clock.now()
        words = view.host.probe(check, PATIENCE)
        if words is None and check.check == "mount":
            # The table of mounts proves no server: this one asks it, and waits for it, in a thread of its own.
            os.statvfs(str(view.host.path(check.path)))
        samples.add("up", words is None, check=check.name)
        samples.add("check_duration_seconds", round(view.clock.now() - begun, 6), check=check.name)

    return collect
