"""What a cloud must have before a stack is begun: its catalogue is asked, under the names that catalogues use."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from keystoneauth1.access.service_catalog import ServiceCatalogV3

from mailimg.cloud.connection import Cloud
from mailimg.errors import InputError
from mailimg.stack import apply
from mailimg.stack.platform import Group, Platform

REGION = "one"


def cloud(*kinds: str) -> Cloud:
    """A cloud of which nothing but the catalogue is there."""
    endpoints = [{"interface": "public", "region": REGION, "region_id": REGION, "url": "https://x", "id": "1"}]
    catalogue = ServiceCatalogV3([{"type": kind, "name": kind, "endpoints": endpoints} for kind in kinds])
    access = SimpleNamespace(service_catalog=catalogue)
    session = SimpleNamespace(auth=SimpleNamespace(get_access=lambda _session: access))
    config = SimpleNamespace(get_region_name=lambda _kind: REGION)
    return Cloud(cast("Any", SimpleNamespace(session=session, config=config)))


def lacking(asked: Cloud, *, volume: bool) -> list[str]:
    group = cast("Group", SimpleNamespace(volume=volume))
    with pytest.raises(InputError) as caught:
        apply.needs(asked, Platform((), (group,)))
    return list(caught.value.problems)


@pytest.mark.parametrize("kind", ["volumev3", "block-storage"])
def test_volumes_by_either_name(kind: str) -> None:
    assert lacking(cloud(kind, *(one for one in apply.NEEDED if one != "network")), volume=True) == [
        "the cloud has no Neutron (network)"]


# Heat takes neither for what it needs.
@pytest.mark.parametrize("others", [(), ("volume",), ("volumev2",)])
def test_a_volume_needs_cinder(others: tuple[str, ...]) -> None:
    assert lacking(cloud(*apply.NEEDED, *others), volume=True) == ["the cloud has no Cinder (volumev3)"]


def test_without_a_volume_there_need_be_no_cinder() -> None:
    assert lacking(cloud(*(one for one in apply.NEEDED if one != "image")), volume=False) == [
        "the cloud has no Glance (image)"]


def test_everything_that_is_missing_at_once() -> None:
    assert len(lacking(cloud("identity"), volume=True)) == len(apply.NEEDED) + 1
