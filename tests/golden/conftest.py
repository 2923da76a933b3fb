"""`pytest tests/golden --regenerate` writes the golden files anew; `git diff` is the review."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the golden files of roles/*/example anew")


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    # The option is unknown when pytest was started higher up and met this folder late.
    return bool(request.config.getoption("--regenerate", default=False))
