"""Which address an instance with several registers; the kernel's own routes decide, in a network of the test's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mailimg import process

pytestmark = pytest.mark.lab


def test_the_address_that_is_registered() -> None:
    script = Path(__file__).with_name("address_inside.py")
    argv = process.confine([sys.executable, str(script)], network=True)
    told = json.loads(process.run(argv, what="ask for addresses", timeout=60).stdout)
    failed = told.pop("none"), told.pop("no such name")
    assert told == {
        "by the route to Keystone": "10.2.0.5",
        "which lies in a network": "10.2.0.5",
        "which lies in none": "10.1.0.5",
        "IPv6": "2001:db8:1::5",
        "no route to Keystone": "10.1.0.5",
        "one host": "10.1.0.5",
        "given": "10.3.0.7",
    }
    assert failed[0] == "StepError: no address of this instance lies in the site's networks; it has 10.2.0.5"
    assert failed[1].startswith("TransientError: look up keystone.invalid: ")
