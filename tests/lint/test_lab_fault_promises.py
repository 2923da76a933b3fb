"""docs/lab-faults.md holds the table that the fault checks assert, docs/lab-safety.md the floor that is scanned."""

from __future__ import annotations

import pytest
from project import ROOT

from mailimg.lab.checks import doors, faults, outages, promises, storage, tlsscan, traffic

FAULTS = (ROOT / "docs" / "lab-faults.md").read_text(encoding="utf-8")
SAFETY = (ROOT / "docs" / "lab-safety.md").read_text(encoding="utf-8")


def test_the_page_has_the_table_of_the_code() -> None:
    assert promises.table() in FAULTS


def test_each_promise_has_an_outage_and_a_check() -> None:
    assert list(promises.PROMISES) == list(outages.OUTAGES)
    proved = [name for group in (faults, storage) for name, _ in group.checks() if name.startswith("without ")]
    assert len(proved) == len(promises.PROMISES)
    assert set(promises.COLUMNS) == set(traffic.WAYS)


@pytest.mark.parametrize("name", promises.PROMISES)
def test_no_mail_is_refused_for_good(name: str) -> None:
    for way in traffic.MAIL:
        for code in promises.PROMISES[name].codes(way):
            assert code in (traffic.OK, traffic.NONE) or code.startswith("4"), f"{way}: {code}"


@pytest.mark.parametrize("name", promises.PROMISES)
def test_no_login_to_a_mailbox_is_called_wrong(name: str) -> None:
    assert not set(promises.PROMISES[name].codes("imap")) & traffic.HARD_WORDS


@pytest.mark.parametrize("distro", sorted(path.name.removeprefix("distro-")
                                          for path in (ROOT / "elements").glob("distro-*")))
def test_each_distribution_has_a_floor_that_is_written_down(distro: str) -> None:
    assert f"| {distro} | {', '.join(doors.FLOORS[distro])} |" in SAFETY


@pytest.mark.parametrize("kind", tlsscan.WEAK)
def test_each_kind_of_weak_cipher_is_written_down(kind: str) -> None:
    assert kind in SAFETY
