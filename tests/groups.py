"""Which tests with real peers share a worker, so that several workers get through them at once.

Most of these tests wait: for a boot, an answer, a time-out. With `-n 3 --no-loadscope-reorder` pytest-xdist gives each
worker one group after the other, in the order below, and never splits a group: what is made once for many tests
(`scope="session"`) is made once for a group. A file that is not named here is a group of its own.

    pytest tests/lab/test_stack_*.py          one group alone, in one process

What a test may assume: its own folder, store, names and namespaces are its own; the machine is not.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Longest first, so that no worker is left with one at the end. pytest-xdist promises a worker its next group when two
# tests are left to it: a group ends with short ones, or the next would wait behind them while another worker is idle.
GROUPS: dict[str, tuple[str, ...]] = {
    # Guests under QEMU, most of them without KVM.
    "guests": ("test_every_role", "test_lab_nfs", "test_storage_mount"),
    # One cloud with Heat at a time, in each.
    "stacks that stay": ("test_stack_stays",),
    "stacks": ("test_stack_roll", "test_stack_cloud", "test_stack_agent", "test_stack_drain"),
    # One small installation with a store of its own.
    "builds": ("test_builder_faults", "test_layers_in_store", "test_beside_image", "test_host_faults",
               "test_glance_upload"),
    # One stand-in for CentOS's archive and what was built from it.
    "el7": ("test_el7_content", "test_el7_faults", "test_standin", "test_standin_faults"),
    # One cloud with Glance.
    "glance": ("test_glance_channels", "test_glance_faults"),
    # One cloud with Octavia and Barbican.
    "cloud": ("test_joined_site", "test_cloud_crowd", "test_cloud_oldest", "test_cloud_join", "test_cloud_neutron",
              "test_cloud_faults", "test_cloud_secrets", "test_certificate_container"),
    # One lab for those that only use it, which runs until its worker ends; those that start their own come before.
    "labs": ("test_scale_in", "test_lab_ends", "test_lab_webmail", "test_lab_faults", "test_lab_flow"),
    "reproducible": ("test_reproducible",),
    "domain": ("test_join_domain",),
    "canary": ("test_canary_secrets",),
}
PLACES = {name: (number, place, group)
          for number, (group, names) in enumerate(GROUPS.items()) for place, name in enumerate(names)}


def place(path: Path) -> tuple[int, int, str]:
    """A file's group by number, its place in it, and the group's name."""
    return PLACES.get(path.stem, (len(GROUPS), 0, path.stem))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests."""
    items.sort(key=lambda item: place(item.path)[:2])


class Groups(LoadScopeScheduling):
    """pytest-xdist's way with scopes, a scope being a group. (Its marks for groups do nothing under pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return place(Path(nodeid.partition("::")[0]))[2]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Asked where there are several workers."""
    return Groups(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once why a test failed: a run that is ended from outside never comes to its summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stderr.write(f"\n{report.longreprtext}\n")
