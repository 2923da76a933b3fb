"""A group of instances that joins and leaves one load balancer at once: none is lost, none stays, none gives up."""

from __future__ import annotations

from pathlib import Path

import pytest
from cloud import Rig
from cloud_crowd import Crowd

from mailimg_firstboot.cloud.balancer import BUSY
from mailimg_firstboot.errors import StepError

pytestmark = pytest.mark.lab

INSTANCES = 20


def test_a_crowd_joins_and_leaves(rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make bench-scale` does the same with a hundred."""
    crowd = Crowd(rig, tmp_path, "crowd", INSTANCES, change=0.1)
    joined = crowd.join()
    assert joined.failures == []
    assert crowd.names() == [sorted(one.name for one in crowd.instances)]
    assert joined.refused > 0, "nobody met a load balancer under change: this proves nothing"
    assert joined.tokens == INSTANCES
    left = crowd.leave()
    assert left.failures == []
    assert left.refused > 0
    assert crowd.names() == [[]]
    with capsys.disabled():
        for phase in (joined, left):
            print(f"\n{phase.name}: {INSTANCES} instances, p50 {phase.percentile(50):.1f} s, "  # noqa: T201
                  f"last {phase.seconds:.1f} s, {phase.total} calls, {phase.refused} times 409", end="")


def test_who_waits_too_short_says_what_to_change(rig: Rig, tmp_path: Path) -> None:
    crowd = Crowd(rig, tmp_path, "hasty", 1, deadline=1)
    with rig.pending(5.0):
        crowd.project.me.request("load-balancer", "PUT", f"/v2.0/lbaas/loadbalancers/{crowd.balancer.id}",
                                 {"loadbalancer": {"description": "under change"}})
        with pytest.raises(StepError, match=r"409 .* \(tried \d times in \d s\)") as caught:
            crowd.instances[0].join()
    assert caught.value.hint == BUSY
    crowd.project.settle(crowd.balancer.id)
